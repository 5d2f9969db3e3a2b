import DeadLetters
import ArgumentParser
import FoundationEssentials
import Journey
import JourneyPostgres

/// `journey dlq stats`
struct DLQStats: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats", abstract: "Count letters by reason, source, type and age.")

  @OptionGroup var filter: DeadLetterFilterOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await withExitStatus {
      let settings = try await common.settings()
      let filter = try filter.filter()
      let (statistics, replays) = try await withArchive(settings) { worker in
        (
          try await DeadLetterRepository(worker: worker, actor: "").statistics(filter),
          try await ReplayRepository(worker: worker, actor: "", clock: SystemClock()).open()
        )
      }
      if output.json { printJSON { write(statistics, replays, into: &$0) } } else { show(statistics, replays) }
    }
  }

  private func groups(_ statistics: DeadLetterStatistics) -> [(String, [DeadLetterStatistics.Group])] {
    [("code", statistics.codes), ("source", statistics.sources), ("type", statistics.types), ("age", statistics.ages)]
  }

  private func show(_ statistics: DeadLetterStatistics, _ replays: [OpenReplay]) {
    Output.line(DeadLetterState.allCases.map { "\($0.rawValue) \(statistics.states[$0] ?? 0)" }.joined(separator: ", "))
    for replay in replays {
      let name = "replay \(replay.id) of \(replay.actor.line(40))", left = replay.remaining.of("letter")
      Output.line(
        replay.isUnderWay
          ? "\(name) is under way, \(left) left"
          : "\(name) was cut off, \(left) left: journey dlq replay --resume, or --give-back")
    }
    for (name, groups) in groups(statistics) where !groups.isEmpty {
      Output.line()
      Output.table(
        [name, "letters", "oldest failure", "newest failure"],
        groups.map { [$0.name.line(60), "\($0.count)", $0.oldest.toTheSecond, $0.newest.toTheSecond] })
    }
  }

  private func write(_ statistics: DeadLetterStatistics, _ replays: [OpenReplay], into json: inout JSONWriter) {
    json.beginObject()
    json.key("states")
    json.beginObject()
    for state in DeadLetterState.allCases {
      json.key(state.rawValue)
      json.int(statistics.states[state] ?? 0)
    }
    json.endObject()
    json.key("openReplays")
    json.beginArray()
    for replay in replays {
      json.beginObject()
      json.key("replay")
      json.int(replay.id)
      json.member("actor", replay.actor)
      json.key("left")
      json.int(replay.remaining)
      json.key("underWay")
      json.bool(replay.isUnderWay)
      json.endObject()
    }
    json.endArray()
    for (name, groups) in groups(statistics) {
      json.key(name)
      json.beginArray()
      for group in groups {
        json.beginObject()
        json.member("name", group.name)
        json.key("count")
        json.int(group.count)
        json.member("oldest", group.oldest.iso8601)
        json.member("newest", group.newest.iso8601)
        json.endObject()
      }
      json.endArray()
    }
    json.endObject()
  }
}
