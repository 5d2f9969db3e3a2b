/// Many clients become due at the same time while events arrive: how many are evaluated per second, and how the latency
/// of the events changes.
struct Sweep: Codable {
  /// Clients with states, in 20 organisations.
  var clients: Int
  /// How many of them become due at the same time.
  var due: Int
  /// Events per second.
  var rate: Int
  var rounds: Int

  /// One in `share` clients becomes due.
  static let share = 20
  /// The maximum number of rounds: each uses clients of its own, with and without due clients.
  static let maxRounds = share / 2
  /// Events per second by default.
  static let usualRate = 200
  /// The target in clients per second.
  static let asked = 2000.0

  init(due: Int, rate: Int, rounds: Int) {
    clients = due * Self.share
    self.due = due
    self.rate = rate
    self.rounds = rounds
  }

  /// Seconds of events before the clients become due, enough to finish all start-up work.
  var lead: Int { 8 }
  /// Seconds of events after that: twice the target time, and two polls for due clients.
  var seconds: Int { Int(2 * Double(due) / Self.asked) + 10 }
  /// Seconds between storing the templates' events and the time at which their clients become due.
  var preparation: Int { 30 + due / 1000 }

  var title: String {
    "\(clients) clients of whom \(due) fall due at once, while \(rate) events/s come for \(lead + seconds) s; one adapter, profile default; \(rounds) rounds with and without, in turn"
  }
}

/// The result of a round.
struct SweepRound: Codable {
  /// Whether any client became due.
  var isDue: Bool
  /// How many clients were evaluated over time, and the seconds from the first to the last of them.
  var evaluated = 0
  var seconds = 0.0
  /// The latency of the events in that time; in a round without due clients, in a period of the same length.
  var latency: LatencyResult
  /// Total CPU milliseconds until the last action arrived.
  var ownCPU: Double
  var brokerCPU: Double
  var databaseCPU: Double
  var walMiB: Double

  var perSecond: Double { seconds > 0 ? Double(evaluated) / seconds : 0 }
}

struct SweepResult: Codable {
  var sweep: Sweep
  var rounds: [SweepRound] = []
  /// Over all rounds.
  var quiet: LatencyResult
  var busy: LatencyResult

  var goals: [Goal] {
    [
      .atLeast(
        Sweep.asked, "clients evaluated a second, of \(sweep.due) of \(sweep.clients) who fall due at once",
        medianOfDue { $0.perSecond }, digits: 0),
      .atMost(1.5, "\(sweep.rate) events/s, p99 meanwhile, of that with nobody due", ratio(busy.p99, quiet.p99)),
    ]
  }

  private func medianOfDue(_ value: (SweepRound) -> Double) -> Double { median(rounds.filter(\.isDue).map(value)) }

  /// The cost of evaluating one client in microseconds: the difference between rounds with and without due clients.
  private func cost(_ value: (SweepRound) -> Double) -> Double {
    let without = median(rounds.filter { !$0.isDue }.map(value))
    return (medianOfDue(value) - without) * 1000 / max(1, medianOfDue { Double($0.evaluated) })
  }

  var text: String {
    let head = [
      "round", "evaluated", "a second", "p50 ms", "p90 ms", "p99 ms", "max ms", "own CPU s", "broker s", "database s",
      "WAL MiB",
    ]
    func times(_ row: LatencyResult) -> [String] {
      [row.p50, row.p90, row.p99, row.max].map { fixed(Double($0) / 1000, 2) }
    }
    let rows = rounds.map { round in
      [round.isDue ? "due" : "nobody due", "\(round.evaluated)", round.isDue ? fixed(round.perSecond, 0) : "-"]
        + times(round.latency)
        + [round.ownCPU, round.brokerCPU, round.databaseCPU].map { fixed($0 / 1000, 1) } + [fixed(round.walMiB, 0)]
    }
    let all = [("all, due", busy), ("all, nobody due", quiet)].map { name, row in
      [name, "", ""] + times(row) + ["", "", "", ""]
    }
    let costs =
      "a client that was evaluated took \(fixed(cost(\.ownCPU), 0)) µs of the adapter's CPU, \(fixed(cost(\.brokerCPU), 0)) of the broker's, "
      + "\(fixed(cost(\.databaseCPU), 0)) of the database's, and \(fixed(cost(\.walMiB) * 1048.576, 0)) bytes of WAL"
    return ([sweep.title] + table([head] + rows + all) + [costs, ""]).joined(separator: "\n")
  }
}
