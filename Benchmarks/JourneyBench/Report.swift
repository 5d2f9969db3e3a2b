import Foundation

/// The complete result of a benchmark, for `--json`.
struct Report: Codable {
  var machine = Machine.current()
  var clients: Int
  var profile: String
  var scenarios: [ScenarioResult] = []
  var sweep: SweepResult?
  /// Targets and measured values; empty unless all or the sweep was measured.
  var goals: [Goal] = []

  struct Machine: Codable {
    var cores = ProcessInfo.processInfo.activeProcessorCount
    var model = ""
    var commit = ""
  }
}

extension Report.Machine {
  static func current() -> Report.Machine {
    var machine = Report.Machine()
    let cpu = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    machine.model =
      cpu.split(separator: "\n").first { $0.hasPrefix("model name") }?.split(separator: ":").last?
      .trimmingCharacters(in: .whitespaces) ?? "unknown"
    machine.commit =
      (try? execute(["/usr/bin/git", "describe", "--always", "--dirty"]))?.trimmingCharacters(
        in: .whitespacesAndNewlines) ?? "unknown"
    return machine
  }
}

extension Report {
  var json: String {
    get throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
  }

  /// The first part of the output. Scenarios and targets follow as they are measured, so a later failure does not lose
  /// them.
  var head: String {
    """
    \(machine.cores) cores (\(machine.model)) for servers and programs; commit \(machine.commit)
    \(clients) clients, 1 % of the events twice, profile \(profile); medians of rounds in turn, latencies of all rounds together; CPU in ms for 1,000 events

    """
  }

  var goalsTable: String {
    let rows = goals.map { goal in
      [
        goal.name, "\(goal.isLeast ? ">=" : "<=") \(fixed(goal.asked, goal.digits))", fixed(goal.measured, goal.digits),
        goal.isReached ? "yes" : "no",
      ]
    }
    return table([["goal", "asked", "measured", "reached"]] + rows).joined(separator: "\n")
  }
}

extension ScenarioResult {
  var text: String {
    let actions =
      "\(mix.total) actions with bodies of \(mix.bodyBytes) bytes: \(mix.email) email, \(mix.voice) voice, \(mix.human) human"
    let rows = drains.isEmpty ? latencyRows : drainRows
    return ([scenario.title + "; " + actions] + table(rows) + [""]).joined(separator: "\n")
  }

  private var drainRows: [[String]] {
    let floor = medians(.floor)
    let head = [
      "program", "events/s", "of floor", "own CPU", "broker", "database", "all of floor", "peak MiB", "first ack s",
      "WAL B/event", "commits",
    ]
    func all(_ row: DrainResult) -> Double { row.ownCPU + row.brokerCPU + row.databaseCPU }
    return [head]
      + scenario.subjects.compactMap { medians($0) }.map { row in
        [
          row.subject.name, fixed(row.eventsPerSecond, 0),
          floor.map { fixed(row.eventsPerSecond / $0.eventsPerSecond, 2) } ?? "-",
          fixed(row.ownCPU, 1), fixed(row.brokerCPU, 1), fixed(row.databaseCPU, 1),
          floor.map { fixed(all(row) / all($0), 2) } ?? "-",
          fixed(row.peakMiB, 0), row.firstAck.map { fixed($0, 2) } ?? "-", fixed(row.walBytesPerEvent, 0),
          fixed(row.commits, 0),
        ]
      }
  }

  private var latencyRows: [[String]] {
    let floor = latency(.floor)
    let head = ["program", "p50 ms", "p90 ms", "p99 ms", "max ms", "p50 of floor", "p99 of floor", "behind s"]
    return [head]
      + latencies.map { row -> [String] in
        let times = [row.p50, row.p90, row.p99, row.max].map { fixed(Double($0) / 1000, 2) }
        let ratios = floor.map { [ratio(row.p50, $0.p50), ratio(row.p99, $0.p99)] }
        let behind = self.behind[row.subject.name].map { fixed($0, 2) } ?? "-"
        return [row.subject.name] + times + (ratios.map { $0.map { fixed($0, 2) } } ?? ["-", "-"]) + [behind]
      }
  }
}

/// Aligns the first column left, and numbers right.
func table(_ rows: [[String]]) -> [String] {
  let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
  return rows.map { row in
    zip(row, widths).enumerated().map { index, cell in
      let gap = String(repeating: " ", count: cell.1 - cell.0.count)
      return index == 0 ? cell.0 + gap : gap + cell.0
    }.joined(separator: "  ")
  }
}

func fixed(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
