/// Many clients who fall due at once, while events come: how many are evaluated a second, and what the events notice of
/// it.
struct Sweep: Codable {
  /// With states, in 20 organisations.
  var clients: Int
  /// How many of them fall silent at the same moment.
  var due: Int
  /// Events a second.
  var rate: Int
  var rounds: Int

  /// Of all clients one in so many falls due.
  static let share = 20
  /// The most rounds: each has clients of its own, with and without anything due.
  static let maxRounds = share / 2
  /// Events a second where nothing else is asked for.
  static let usualRate = 200
  /// What is asked of the adapter, in clients a second.
  static let asked = 2000.0

  init(due: Int, rate: Int, rounds: Int) {
    clients = due * Self.share
    self.due = due
    self.rate = rate
    self.rounds = rounds
  }

  /// How long events come before the clients are due: what starts has started by then.
  var lead: Int { 8 }
  /// How long events come after that: twice the time that is asked for, and two looks at what is due.
  var seconds: Int { Int(2 * Double(due) / Self.asked) + 10 }
  /// From when the events are stored whose silence makes a client due, until it does.
  var preparation: Int { 30 + due / 1000 }

  var title: String {
    "\(clients) clients of whom \(due) fall due at once, while \(rate) events/s come for \(lead + seconds) s; one adapter, profile default; \(rounds) rounds with and without, in turn"
  }
}

/// What a round showed.
struct SweepRound: Codable {
  /// Whether anybody was due.
  var isDue: Bool
  /// How many clients were evaluated as time passed, and in how many seconds, from the first to the last of them.
  var evaluated = 0
  var seconds = 0.0
  /// The events that came meanwhile; where nobody was due, those of as long a time.
  var latency: LatencyResult
  /// Milliseconds of CPU in all, while the load came and until all its actions were there.
  var ownCPU: Double
  var brokerCPU: Double
  var databaseCPU: Double
  var walMiB: Double

  var perSecond: Double { seconds > 0 ? Double(evaluated) / seconds : 0 }
}

struct SweepResult: Codable {
  var sweep: Sweep
  var rounds: [SweepRound] = []
  /// Of all rounds together.
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

  /// What a client that was evaluated took, in microseconds: the difference between the rounds with and without.
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
