import AMQPClient
import JourneyAMQP

/// How the queues stood at one moment.
struct QueueLook: Sendable {
  var at: ContinuousClock.Instant
  /// By name; a missing or hidden queue is left out.
  var states: [String: QueueState]
  /// Queues that the broker does not show this user.
  var hidden: Set<String> = []

  static func take(_ admin: AMQPAdmin, _ names: MessagingNames) async throws -> QueueLook {
    let queues = names.queues.map(\.name).filter { $0 != names.outcomes }
    var look = QueueLook(at: .now, states: try await admin.states(of: queues))
    // The service has no permission on it, for which recent brokers ask.
    do {
      let outcomes = try await admin.states(of: [names.outcomes])
      look.states.merge(outcomes) { $1 }
    } catch {
      guard error.code == .accessRefused else { throw error }
      look.hidden = [names.outcomes]
    }
    return look
  }
}

/// What several looks at one queue say about its readers. Pure.
enum QueueTrend: Hashable {
  /// Nobody reads it.
  case unread
  /// It is read as fast as it fills, or shrinks. The rate is below zero where it shrinks.
  case read(perSecond: Int)
  /// Messages come faster than they are read.
  case grows(perSecond: Int)
  /// Its readers take nothing.
  case still

  /// From this depth on, what did not change at all between the looks stands still: a small queue that is read may hold
  /// the same number several times by chance.
  static let stillFrom = 100
  /// From this depth on, and by at least a tenth, a queue that became longer at each look grows.
  static let growsFrom = 1000

  /// - Parameter looks: in the order of time, at least one.
  init(_ looks: [(at: ContinuousClock.Instant, state: QueueState)]) {
    guard let first = looks.first, let last = looks.last, last.state.consumers > 0 else {
      self = .unread
      return
    }
    let seconds = (last.at - first.at) / .seconds(1), change = last.state.ready - first.state.ready
    let rate = seconds > 0 ? Int(Double(change) / seconds) : 0
    let pairs = zip(looks, looks.dropFirst())
    if looks.count > 2, last.state.ready >= Self.growsFrom, change * 10 >= first.state.ready, change > 0,
      pairs.allSatisfy({ $0.state.ready < $1.state.ready })
    {
      self = .grows(perSecond: rate)
    } else if looks.count > 2, first.state.ready >= Self.stillFrom,
      pairs.allSatisfy({ $0.state.ready == $1.state.ready })
    {
      self = .still
    } else {
      self = .read(perSecond: rate)
    }
  }
}

extension [QueueLook] {
  /// The state of a queue at the last look, and its trend; nil for a queue that is missing.
  func trend(of queue: String) -> (state: QueueState, trend: QueueTrend)? {
    let looks = compactMap { look in look.states[queue].map { (at: look.at, state: $0) } }
    return looks.last.map { ($0.state, QueueTrend(looks)) }
  }
}
