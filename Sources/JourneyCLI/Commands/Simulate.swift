import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyPostgres

/// `journey simulate --config FILE`
struct Simulate: Command {
  static let configuration = CommandConfiguration(
    abstract: "Simulate changed rules on the stored events: which actions there would be, for whom, and why.",
    discussion: """
      It replays the events of each client under the current and the changed rules, side by side. Events before --since only build the state; \
      nobody answers an action. It publishes and writes nothing. \
      Here --config is the file of the changed decisions; --settings is the settings file, which names the current ones. \
      Exit status: 0 done; 65 input refused; 69 the database is not available; 78 the settings or a file of decisions is not as it has to be.
      """,
    examples: [
      "journey simulate --config decisions-new.yaml",
      "journey simulate --config decisions-new.yaml --since 90d --org ORG --limit 100",
      "journey simulate --config decisions-new.yaml --since 2026-11-01 --json",
    ])

  @Option(
    help: ArgumentHelp("The changed decisions, a file like decisions.yaml.", valueName: "file"), completion: .file())
  var config: String

  @Option(
    help: ArgumentHelp(
      "Evaluate from this time on: 2026-11-20T10:00:00Z, 2026-11-20, or how long ago: 90m, 2h, 3d.",
      valueName: "time"))
  var since = "30d"

  @Option(help: "Only the clients of this organisation.")
  var org: String?

  @Option(help: "How many clients with other actions to list at most.")
  var limit = 20

  @Option(
    help: ArgumentHelp("The settings file, or the directory that holds it as journey.yaml.", valueName: "path"),
    completion: .file())
  var settings: String?

  @Option(
    help: "trace, debug, info, notice, warning, error or critical.",
    completion: .list(["trace", "debug", "info", "notice", "warning", "error", "critical"]))
  var logLevel: String?

  @OptionGroup var servers: ServerOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let now = SystemClock().now()
    let begin = try DeadLetterFilterOptions.time(since, "--since")
    guard begin < now else { throw Failure(.refusedInput, "--since \(since): expected a time in the past") }
    var run = SimulationRun()
    run.orgID = try org.map { try Input.id($0, "--org", of: "an organisation") }
    run.limit = max(0, min(limit, 1000))
    let settings = try await FileOptions.settings(settings, logLevel, servers)
    let simulation = Simulation(
      current: try await settings.decisions(),
      changed: try await failing(.settings) { try DecisionLoader.load(file: config) }, begin: begin, end: now)
    let counts = try await settings.withDatabase(plansByIndexes: true) {
      try await run.run(simulation, on: $0) {
        Output.progress("\($0.clients.of("client")): \($0.different) with other actions")
      }
    }
    Output.endProgress()
    if simulation.current.version == simulation.changed.version, simulation.current != simulation.changed {
      Output.error(
        "note: both files have the version \(simulation.changed.version.plain(80)): give the changed one its own")
    }
    if output.json { printJSON(simulation.json(counts)) } else { simulation.show(counts) }
  }
}

extension Simulation {
  /// The result for people.
  fileprivate func show(_ counts: SimulationCounts) {
    Output.line(
      "",
      "\(counts.clients.of("client")), \(counts.events.of("event")) since \(begin.iso8601), current rules \(current.version.plain(80)), changed rules \(changed.version.plain(80))\n"
    )
    func row(_ name: String, _ current: Int, _ changed: Int) -> [String] {
      [
        name, "\(current)", "\(changed)",
        changed == current ? "0" : (changed > current ? "+" : "") + "\(changed - current)",
      ]
    }
    Output.table(
      ["action", "current", "changed", "difference"],
      counts.kinds.map { row($0.rawValue, counts.current[$0] ?? 0, counts.changed[$0] ?? 0) }
        + [row("all", counts.current.values.reduce(0, +), counts.changed.values.reduce(0, +))])
    let shown = counts.listed.count < counts.different ? ", the first \(counts.listed.count) of them" : ""
    Output.line("", "\n\(counts.different.of("client")) with other actions\(shown)")
    for client in counts.listed {
      let difference = client.difference
      Output.line("\n\((client.name ?? "(no name)").plain(200))  \(client.id.text)  \(difference.at.iso8601)")
      Output.line("  current: ", difference.current.words)
      Output.line("  changed: ", difference.changed.words)
      for reason in difference.reasons { Output.line("  because ", difference.words(for: reason)) }
    }
  }

  fileprivate func json(_ counts: SimulationCounts) -> JSONObject {
    [
      "since": begin, "until": end, "currentVersion": current.version, "changedVersion": changed.version,
      "clients": counts.clients, "events": counts.events,
      "actions": counts.kinds.map { kind -> JSONObject in
        ["action": kind.rawValue, "current": counts.current[kind] ?? 0, "changed": counts.changed[kind] ?? 0]
      },
      "different": counts.different,
      "listed": counts.listed.map { client -> JSONObject in
        let difference = client.difference
        return [
          "clientId": client.id, "orgId": client.orgID, "name": client.name, "at": difference.at,
          "current": difference.current.json, "changed": difference.changed.json,
          "because": difference.reasons.map(difference.words),
        ]
      },
    ]
  }
}

extension SimulationCounts {
  /// The kinds of actions that there were, in the order of the design document.
  fileprivate var kinds: [ActionKind] { ActionKind.allCases.filter { current[$0] != nil || changed[$0] != nil } }
}
