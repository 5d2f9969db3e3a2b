import Foundation
import Histogram

/// All that a run of the benchmark found, for `--json`.
struct Report: Codable {
  var machine: Machine
  var settings: Settings
  var mix: Mix
  var drains: [DrainResult] = []
  var latencies: [LatencyResult] = []

  struct Machine: Codable {
    var cores = ProcessInfo.processInfo.activeProcessorCount
    var model = ""
    var commit = ""
  }

  struct Settings: Codable {
    var events: Int
    var clients: Int
    var profile: String
    var rounds: Int
    var instances: Int
    var history: Int
    var hotClient: Int
    var hotShare: Int
    var rate: Int?
    var seconds: Int?
  }
}

extension Report.Machine {
  static func current() -> Report.Machine {
    var machine = Report.Machine()
    let cpu = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    machine.model =
      cpu.split(separator: "\n").first { $0.hasPrefix("model name") }?.split(separator: ":").last?
      .trimmingCharacters(in: .whitespaces) ?? "unknown"
    machine.commit = (try? execute(["/usr/bin/git", "describe", "--always", "--dirty"]))?.trimmingCharacters(in: .whitespacesAndNewlines) ?? "unknown"
    return machine
  }
}

extension Report {
  /// The medians of a program's rounds.
  func medians(_ kind: Program.Kind) -> DrainResult? {
    let rounds = drains.filter { $0.program == kind }
    guard !rounds.isEmpty else { return nil }
    func of(_ value: (DrainResult) -> Double) -> Double { median(rounds.map(value)) }
    return DrainResult(
      program: kind, eventsPerSecond: of(\.eventsPerSecond), ownCPU: of(\.ownCPU), brokerCPU: of(\.brokerCPU), databaseCPU: of(\.databaseCPU),
      peakMiB: of(\.peakMiB), walBytesPerEvent: of(\.walBytesPerEvent), commits: of(\.commits), actions: Int(of { Double($0.actions) }))
  }

  var text: String {
    var lines = [
      "\(settings.events) events of \(settings.clients) clients, 1 % of them twice, profile \(settings.profile); \(settings.history) older events"
        + (settings.hotClient > 0 ? ", \(settings.hotClient) of one client" : "")
        + (settings.hotShare > 0 ? "; \(settings.hotShare) % of the events are one client's" : ""),
      "\(mix.total) actions with bodies of \(mix.bodyBytes) bytes: \(mix.email) email, \(mix.voice) voice, \(mix.human) human",
      "\(machine.cores) cores (\(machine.model)) for servers and programs; commit \(machine.commit); medians of \(settings.rounds) alternating rounds",
      "",
    ]
    if !drains.isEmpty { lines += drainTable }
    if !latencies.isEmpty { lines += latencyTable }
    return lines.joined(separator: "\n")
  }

  private var drainTable: [String] {
    let floor = medians(.floor)
    let head = ["program", "events/s", "of floor", "own CPU", "broker", "database", "peak MiB", "WAL B/ev", "commits", "actions"]
    let rows = Program.Kind.allCases.compactMap { medians($0) }.map { row in
      [
        row.program.rawValue + (row.program == .adapter && settings.instances > 1 ? " x \(settings.instances)" : ""),
        fixed(row.eventsPerSecond, 0), floor.map { fixed(row.eventsPerSecond / $0.eventsPerSecond, 2) } ?? "-", fixed(row.ownCPU, 1),
        fixed(row.brokerCPU, 1), fixed(row.databaseCPU, 1), fixed(row.peakMiB, 0), fixed(row.walBytesPerEvent, 0), fixed(row.commits, 0),
        "\(row.actions)",
      ]
    }
    return Self.table([head] + rows) + ["CPU in milliseconds for 1,000 events.", ""]
  }

  private var latencyTable: [String] {
    let floor = latencies.first { $0.program == .floor }
    let head = ["program", "p50 ms", "p90 ms", "p99 ms", "max ms", "p50 of floor", "p99 of floor", "actions"]
    func ratio(_ row: LatencyResult, _ value: (LatencyResult) -> UInt64) -> String {
      floor.map { fixed(Double(value(row)) / Double(max(1, value($0))), 2) } ?? "-"
    }
    let rows = latencies.map { row -> [String] in
      let times = [row.p50, row.p90, row.p99, row.max].map { fixed(Double($0) / 1000, 2) }
      return [row.program.rawValue] + times + [ratio(row, \.p50), ratio(row, \.p99), "\(row.actions)"]
    }
    return ["Open loop, \(settings.rate ?? 0) events/s for \(settings.seconds ?? 0) s a round, from publish to the action at its worker:"]
      + Self.table([head] + rows) + [""]
  }

  /// The first column to the left, numbers to the right.
  static func table(_ rows: [[String]]) -> [String] {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      zip(row, widths).enumerated().map { index, cell in
        let gap = String(repeating: " ", count: cell.1 - cell.0.count)
        return index == 0 ? cell.0 + gap : gap + cell.0
      }.joined(separator: "  ")
    }
  }
}

func fixed(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

extension LatencyResult {
  init(_ program: Program.Kind, _ histogram: Histogram<UInt64>) {
    self.init(
      program: program, actions: Int(histogram.totalCount), p50: histogram.valueAtPercentile(50), p90: histogram.valueAtPercentile(90),
      p99: histogram.valueAtPercentile(99), max: histogram.max)
  }
}
