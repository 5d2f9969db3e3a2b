import ArgumentParser
import Journey
import JourneyConfiguration
import JourneyPostgres

/// `journey instances`
struct Instances: Command {
  static let configuration = CommandConfiguration(
    commandName: "instances", abstract: "List the instances of journey serve, and whether they consume.",
    discussion:
      "An instance whose lease of 5 s has run out is listed as silent for a week. One that ended in order is not listed.",
    examples: ["journey instances", "journey instances --json"])

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let instances = try await common.settings().withDatabase { try await InstanceRepository(worker: $0).list() }
    guard !output.json else { return printJSON(instances.map { $0.json(answer: nil) }) }
    guard !instances.isEmpty else { return Output.line("no instances") }
    let now = SystemClock().now()
    Output.table(
      ["id", "state", "in hand", "host", "version", "started", "last seen", "pause"],
      instances.map {
        [
          $0.instance.line(40), $0.shownState, "\($0.inHand)", $0.host.line(40), $0.version,
          $0.startedAt.local(at: now), $0.seenAt.local(at: now), $0.pause?.inWords(at: now) ?? "",
        ]
      })
  }
}

extension ListedInstance {
  fileprivate var shownState: String { isLive ? state.rawValue : isPaused ? "silent, paused" : "silent" }

  func json(answer: String?) -> JSONObject {
    [
      "id": instance, "answer": answer, "state": isLive ? state.rawValue : "silent", "paused": isPaused,
      "pause": pause?.json,
      "inHand": inHand, "host": host, "version": version, "startedAt": startedAt, "seenAt": seenAt,
    ]
  }
}
