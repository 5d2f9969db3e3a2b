import DeadLetters
import ArgumentParser
import FoundationEssentials
import Journey
import JourneyPostgres

/// `journey dlq stats`
struct DLQStats: Command {
  static let configuration = CommandConfiguration(
    commandName: "stats", abstract: "Count dead letters by reason, source, type and age.",
    examples: [
      "journey dlq stats",
      "journey dlq stats --source stripe --since 1d",
      "journey dlq stats --state all --json",
    ])

  @OptionGroup var filter: DeadLetterFilterOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings()
    let filter = try filter.filter()
    let (statistics, replays) = try await withArchive(settings) { worker in
      let repository = DeadLetterRepository(worker: worker, actor: "")
      try await filter.requireKnown(by: repository, settings)
      return (
        try await repository.statistics(filter),
        try await ReplayRepository(worker: worker, actor: "", clock: SystemClock()).open()
      )
    }
    if output.json { printJSON(json(statistics, replays)) } else { show(statistics, replays) }
  }

  private func groups(_ statistics: DeadLetterStatistics) -> [(String, [DeadLetterStatistics.Group])] {
    [("code", statistics.codes), ("source", statistics.sources), ("type", statistics.types), ("age", statistics.ages)]
  }

  private func show(_ statistics: DeadLetterStatistics, _ replays: [OpenReplay]) {
    Output.line(DeadLetterState.allCases.map { "\($0.rawValue) \(statistics.states[$0] ?? 0)" }.joined(separator: ", "))
    for replay in replays {
      let name = "replay \(replay.id) of \(replay.actor.line(40))", left = replay.remaining.of("dead letter")
      Output.line(
        replay.isUnderWay
          ? "\(name) is under way, \(left) left"
          : "\(name) was interrupted, \(left) left: journey dlq replay --resume, or --give-back")
    }
    for (name, groups) in groups(statistics) where !groups.isEmpty {
      Output.line()
      Output.table(
        [name, "dead letters", "oldest failure", "newest failure"],
        groups.map { [$0.name.line(60), "\($0.count)", $0.oldest.toTheSecond, $0.newest.toTheSecond] })
    }
  }

  private func json(_ statistics: DeadLetterStatistics, _ replays: [OpenReplay]) -> JSONObject {
    [
      "states": statistics.stateCounts,
      "openReplays": replays.map { replay -> JSONObject in
        [
          "replay": replay.id, "actor": replay.actor, "left": replay.remaining, "underWay": replay.isUnderWay,
        ]
      },
      "code": statistics.codes, "source": statistics.sources, "type": statistics.types, "age": statistics.ages,
    ]
  }
}
