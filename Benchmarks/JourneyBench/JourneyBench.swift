import ArgumentParser
import Foundation

@main struct JourneyBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "make bench ARGS=…",
    abstract: "Compares the adapter with the floor, a program that does the minimal work on the same servers.",
    discussion: """
      By default it measures all targets of the adapter and reports which are reached: draining a full queue, with two \
      instances, with older events, and with one very active client; latency at 200 and 1,000 events per second, the highest \
      sustained rate, and latency at 70 % of it; and 50,000 of 1,000,000 clients that become due at the same time while events \
      arrive. With --rate, --history, --hot-client, --hot-share, --instances, --backlog, --sweep or --only it runs only that \
      measurement.

      Starts private servers and deletes them afterwards. Compare ratios, because other load on the machine changes the figures.
      """)

  @Flag(help: "Measure all targets, with the older events of --history or --hot-client.") var all = false
  @Option(help: "Events per round; 1 % of them are published twice.") var events = 50_000
  @Option(help: "Clients, in 20 organisations.") var clients = 2_000
  @Option(help: "Rules and settings: literal or default.") var profile = "literal"
  @Option(help: "Rounds; the table shows the medians.") var rounds = 3
  @Option(help: "The adapter's commit workers (default: its own default).") var workers: Int?
  @Option(help: "The floor's workers.") var floorWorkers = 4
  @Option(help: "Adapters on the same queue.") var instances: Int?
  @Option(help: "Older events that are already stored (1000000 if all targets are measured).") var history: Int?
  @Option(help: "Additional older events of one client (100000 if all targets are measured).") var hotClient: Int?
  @Option(help: "The percentage of events for that client (default: 10 with --hot-client).") var hotShare: Int?
  @Option(help: "Open loop: events per second; measures latency.") var rate: Int?
  @Option(help: "Duration of each round of the open loop, in seconds.") var seconds = 10
  @Option(help: "A long drain of this many events by the adapter alone; prints its memory meanwhile.") var backlog: Int?
  @Flag(
    help:
      "Clients that become due at the same time while events arrive (--rate, default 200 per second), in the default profile."
  )
  var sweep = false
  @Option(help: "How many clients become due: one in twenty of all clients. 5000 for a quick run.") var due = 50_000
  @Option(help: "Programs to measure: floor, adapter, or both.") var only: Program.Kind?
  @Flag(help: "Print JSON, with every round.") var json = false
  @Option(help: .hidden) var adapterBinary: String
  @Option(help: .hidden) var floorBinary: String

  func validate() throws {
    guard ["literal", "default"].contains(profile) else {
      throw ValidationError("--profile \(profile): literal or default")
    }
    let counts = [
      ("events", events), ("clients", clients), ("rounds", rounds), ("floor-workers", floorWorkers),
      ("instances", instances ?? 1), ("seconds", seconds),
      ("backlog", backlog ?? 1), ("due", due),
    ]
    for (name, value) in counts where !(1..<100_000_000).contains(value) {
      throw ValidationError("--\(name) \(value): 1 to 99999999")
    }
    for (name, value) in [("history", history ?? 0), ("hot-client", hotClient ?? 0)]
    where !(0..<100_000_000).contains(value) {
      throw ValidationError("--\(name) \(value): 0 to 99999999")
    }
    // The ids of events contain four digits for the run.
    guard rounds <= 100 else { throw ValidationError("--rounds \(rounds): at most 100") }
    if let rate, !(1...100_000).contains(rate) { throw ValidationError("--rate \(rate): 1 to 100000") }
    guard (0...100).contains(hotShare ?? 0) else { throw ValidationError("--hot-share: 0 to 100, in percent") }
    if sweep || measuresAll, !(100...200_000).contains(due) { throw ValidationError("--due \(due): 100 to 200000") }
    if sweep,
      all || history != nil || hotClient != nil || instances != nil || backlog != nil || only != nil || hotShare != nil
    {
      throw ValidationError("--sweep is a measurement of its own: --rate, --rounds and --due go with it")
    }
    if sweep || measuresAll, rounds > Sweep.maxRounds {
      throw ValidationError("--rounds \(rounds): at most \(Sweep.maxRounds) of a sweep")
    }
    if all, rate != nil || instances != nil || backlog != nil || only != nil || hotShare != nil {
      throw ValidationError(
        "--all measures all: --rate, --instances, --backlog, --only and --hot-share choose one measurement")
    }
    if backlog != nil, rate != nil || only == .floor {
      throw ValidationError("--backlog is a drain by the adapter alone")
    }
  }

  private var measuresAll: Bool {
    all || [history, hotClient, instances, hotShare, rate, backlog].allSatisfy { $0 == nil } && only == nil && !sweep
  }

  func run() async throws {
    let options = RunOptions(
      adapterBinary: adapterBinary, floorBinary: floorBinary,
      configuration: profile == "literal" ? "config/profiles/literal" : "config",
      clients: clients, workers: workers, floorWorkers: floorWorkers)
    say("starting private servers")
    let servers = try Servers.start(directory: ".local/bench-\(getpid())")
    defer { servers.stop() }
    for command in [["migrate"], ["topology", "apply"]] {
      _ = try execute(
        [adapterBinary] + command + ["--config", options.configuration], environment: servers.environment)
    }
    let database = try await Database(servers), broker = try Broker(servers)
    try await database.seed(clients: clients)
    var report = Report(clients: clients, profile: profile)
    if !json { show(report.head) }
    let benchmark = BenchmarkRun(options: options, servers: servers, broker: broker, database: database)
    var measurement = Measurement(benchmark) { result in
      if !json { show(result.text) }
    }
    if sweep {
      report.sweep = try await measure(Sweep(due: due, rate: rate ?? Sweep.usualRate, rounds: rounds), on: benchmark)
      report.goals = report.sweep?.goals ?? []
    } else if measuresAll {
      let card = Goals(
        events: events, rounds: rounds, seconds: seconds, history: history ?? 1_000_000, hotClient: hotClient ?? 100_000
      )
      report.goals = try await card.measure(&measurement, clients: clients)
      report.sweep = try await measure(Sweep(due: due, rate: Sweep.usualRate, rounds: rounds), on: benchmark)
      report.goals += report.sweep?.goals ?? []
    } else {
      let scenario = self.scenario
      if scenario.keepsHistory {
        try await database.addHistory(scenario.history, clients: clients, hotClient: scenario.hotClient)
      }
      _ = try await measurement.measure(scenario)
    }
    await broker.close()
    await database.close()
    report.scenarios = measurement.results
    if json { show(try report.json) } else if !report.goals.isEmpty { show(report.goalsTable) }
  }

  /// In the default profile, because the literal one does not evaluate over time.
  private func measure(_ sweep: Sweep, on benchmark: BenchmarkRun) async throws -> SweepResult {
    var options = benchmark.options
    options.clients = sweep.clients
    options.configuration = "config"
    var measurement = SweepMeasurement(
      BenchmarkRun(
        options: options, servers: benchmark.servers, broker: benchmark.broker, database: benchmark.database), sweep)
    let result = try await measurement.measure(after: clients)
    if !json { show(result.text) }
    return result
  }

  private var scenario: Scenario {
    let load: Scenario.Load =
      if let rate { .steady(rate: rate, seconds: seconds) } else { .drain(events: backlog ?? events) }
    let adapter = Subject(kind: .adapter, instances: instances ?? 1)
    let subjects = [.floor, adapter].filter { only == nil || $0.kind == only }
    return Scenario(
      load: load, subjects: backlog == nil ? subjects : [adapter], rounds: backlog == nil ? rounds : 1,
      history: history ?? 0, hotClient: hotClient ?? 0, hotShare: hotShare ?? (hotClient ?? 0 > 0 ? 10 : 0),
      watchesMemory: backlog != nil)
  }
}

extension Program.Kind: ExpressibleByArgument {}
