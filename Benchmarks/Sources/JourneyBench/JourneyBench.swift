import ArgumentParser
import Foundation
import Histogram

@main struct JourneyBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "make bench ARGS=…",
    abstract: "Measures the adapter against its floor: the least work on the same servers, in the same run.",
    discussion: "Starts private servers of its own and deletes them. Read the figures as ratios: other work on the machine changes them.")

  @Option(help: "Events of a round; 1 % of them are published twice.") var events = 50_000
  @Option(help: "Clients, in 20 organisations.") var clients = 2_000
  @Option(help: "Rules and settings: literal or default.") var profile = "literal"
  @Option(help: "Rounds; the table shows their medians.") var rounds = 3
  @Option(help: "The adapter's lanes (default: its own default).") var lanes: Int?
  @Option(help: "The floor's lanes.") var floorLanes = 4
  @Option(help: "Adapters on the one queue.") var instances = 1
  @Option(help: "Older events that are already stored.") var history = 0
  @Option(help: "Older events of one client, on top.") var hotClient = 0
  @Option(help: "The percentage of events that speak of that client (default: 10 with --hot-client).") var hotShare: Int?
  @Option(help: "Open loop: events a second; measures latency.") var rate: Int?
  @Option(help: "How long each round of the open loop lasts, in seconds.") var seconds = 20
  @Option(help: "A long drain of so many events by the adapter alone: prints its memory on the way.") var backlog: Int?
  @Option(help: "Programs to measure: floor, adapter, or both.") var only: Program.Kind?
  @Flag(help: "Print JSON, with every round.") var json = false
  @Option(help: .hidden) var adapterBinary: String
  @Option(help: .hidden) var floorBinary: String

  func validate() throws {
    guard ["literal", "default"].contains(profile) else { throw ValidationError("--profile \(profile): literal or default") }
    for (name, value) in [("events", events), ("clients", clients), ("rounds", rounds), ("floor-lanes", floorLanes), ("instances", instances)]
    where value < 1 { throw ValidationError("--\(name) \(value): at least 1") }
    if let rate, !(1...100_000).contains(rate) { throw ValidationError("--rate \(rate): 1 to 100000") }
    guard (0...100).contains(hotShare ?? 0) else { throw ValidationError("--hot-share: 0 to 100, in percent") }
    guard events < 100_000_000, backlog ?? 1 < 100_000_000 else { throw ValidationError("less than 100 million events") }
  }

  private var options: RunOptions {
    RunOptions(
      adapterBinary: adapterBinary, floorBinary: floorBinary, configuration: profile == "literal" ? "config/profiles/literal" : "config",
      clients: clients, hotShare: hotShare ?? (hotClient > 0 ? 10 : 0), lanes: lanes, floorLanes: floorLanes, instances: instances,
      keepsHistory: history + hotClient > 0)
  }

  func run() async throws {
    say("starting private servers")
    let servers = try Servers.start(directory: ".local/bench-\(getpid())")
    defer { servers.stop() }
    for command in [["migrate"], ["topology", "apply"]] {
      _ = try execute([adapterBinary] + command + ["--config", options.configuration], environment: servers.environment)
    }
    let database = try await Database(servers), broker = try Broker(servers)
    let report = try await measure(Arena(options: options, servers: servers, broker: broker, database: database))
    await broker.close()
    await database.close()
    print(json ? try report.json : report.text)
  }

  private func measure(_ arena: Arena) async throws -> Report {
    try await arena.database.seed(clients: clients)
    if history + hotClient > 0 {
      say("storing \(history + hotClient) older events")
      try await arena.database.addHistory(history, clients: clients, hotClient: hotClient)
    }
    var report = Report(
      machine: .current(),
      settings: Report.Settings(
        events: backlog ?? rate.map { $0 * seconds } ?? events, clients: clients, profile: profile, rounds: backlog == nil ? rounds : 1,
        instances: instances, history: history, hotClient: hotClient, hotShare: options.hotShare, rate: rate, seconds: rate == nil ? nil : seconds),
      mix: Mix())
    if let backlog {
      try await drainBacklog(backlog, arena, &report)
    } else if let rate {
      try await measureLatency(rate, arena, &report)
    } else {
      try await measureThroughput(arena, &report)
    }
    return report
  }

  /// The programs in turn, in the other order every second round. What the adapter publishes, the floor has to publish too: the adapter goes first,
  /// once more than it is counted.
  private func inTurn(_ measure: (Program.Kind, _ round: Int, _ run: Int) async throws -> Void) async throws {
    var run = 1
    let kinds = Program.Kind.allCases.filter { only == nil || only == $0 }
    if kinds.contains(.floor) {
      say("warming up")
      try await measure(.adapter, 0, run)
    }
    for round in 1...rounds {
      for kind in round % 2 == 1 ? kinds : kinds.reversed() {
        run += 1
        try await measure(kind, round, run)
      }
    }
  }

  private func measureThroughput(_ arena: Arena, _ report: inout Report) async throws {
    var mix = Mix(), drains: [DrainResult] = []
    try await inTurn { kind, round, run in
      let result = try await arena.drain(kind, run: run, events: events, mix: &mix)
      if round > 0 { drains.append(result) }
      say("  round \(round), \(kind.rawValue): \(fixed(result.eventsPerSecond, 0)) events/s, own CPU \(fixed(result.ownCPU, 1)) ms per 1,000")
    }
    report.mix = mix
    report.drains = drains
  }

  private func measureLatency(_ rate: Int, _ arena: Arena, _ report: inout Report) async throws {
    let empty = Histogram<UInt64>(highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: .three)
    var mix = Mix(), histograms = [Program.Kind: Histogram<UInt64>]()
    try await inTurn { kind, round, run in
      var histogram = round == 0 ? empty : histograms[kind] ?? empty
      try await arena.latency(kind, run: run, rate: rate, seconds: seconds, mix: &mix, into: &histogram)
      if round > 0 { histograms[kind] = histogram }
      say("  round \(round), \(kind.rawValue): p50 \(fixed(Double(histogram.valueAtPercentile(50)) / 1000, 2)) ms up to now")
    }
    report.mix = mix
    report.latencies = Program.Kind.allCases.compactMap { kind in histograms[kind].map { LatencyResult(kind, $0) } }
  }

  private func drainBacklog(_ backlog: Int, _ arena: Arena, _ report: inout Report) async throws {
    var mix = Mix()
    let result = try await arena.drain(.adapter, run: 1, events: backlog, mix: &mix) { share, seconds, mebibytes in
      say("  \(share) % drained after \(fixed(seconds, 1)) s: \(fixed(mebibytes, 1)) MiB resident")
    }
    report.mix = mix
    report.drains = [result]
  }
}

extension Program.Kind: ExpressibleByArgument {}

extension Report {
  fileprivate var json: String {
    get throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
  }
}
