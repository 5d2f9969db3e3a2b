import ConnectionThreads

/// Remembers which exchanges the broker refuses, and when to try them again. Pure: time is passed in.
///
/// A refusal closes the channel and makes the outcome of every other message on it unknown. So messages to a refused
/// exchange fail here for a while; then one is tried alone.
struct RefusedExchanges {
  enum Verdict: Equatable {
    case send
    case refused(AMQPError)
    /// Wait until nothing is outstanding, because the message must go alone.
    case wait
  }

  /// An exchange, or one routing key of it where the broker has topic permissions.
  private struct Target: Hashable {
    var exchange: String
    var routingKey: String?
  }

  private struct Entry {
    var error: AMQPError
    var pause: Duration
    var retryAt: MonotonicInstant
    var waitingSince: MonotonicInstant?
  }

  static let minPause = Duration.seconds(1)
  static let maxPause = Duration.seconds(30)
  /// How long publishing waits for outstanding confirms so that an exchange can be tried alone.
  static let timeout = Duration.seconds(2)

  private var entries: [Target: Entry] = [:]
  /// What is being tried alone.
  private var trial: Target?
  /// How many of the next messages go alone, because one of them was refused and the broker did not say which.
  private var inDoubt = 0

  /// Whether nothing is refused, the usual case.
  var isEmpty: Bool { entries.isEmpty && inDoubt == 0 }

  /// What to do with the next message.
  ///
  /// - Parameter outstanding: how many messages the broker has not confirmed yet.
  mutating func verdict(exchange: String, routingKey: String, outstanding: Int, now: MonotonicInstant) -> Verdict {
    if trial != nil || inDoubt > 0, outstanding > 0 { return .wait }
    let targets = [Target(exchange: exchange), Target(exchange: exchange, routingKey: routingKey)]
    guard let target = targets.first(where: { entries[$0] != nil }), var entry = entries[target] else { return .send }
    guard now >= entry.retryAt else { return .refused(entry.error) }
    guard outstanding > 0 else {
      entry.waitingSince = nil
      entries[target] = entry
      trial = target
      return .send
    }
    let since = entry.waitingSince ?? now
    let isHeldUp = now >= since + Self.timeout
    entry.waitingSince = isHeldUp ? nil : since
    if isHeldUp { entry.retryAt = now + entry.pause }
    entries[target] = entry
    return isHeldUp ? .refused(entry.error) : .wait
  }

  /// The connection was lost, and with it the trial.
  mutating func lost() { trial = nil }

  /// The broker confirmed a message.
  mutating func answered() {
    if let trial { entries[trial] = nil }
    trial = nil
    inDoubt = max(0, inDoubt - 1)
  }

  /// The broker closed the channel because of a published message.
  ///
  /// - Parameter outstanding: the exchange and routing key of each unconfirmed message.
  /// - Returns: for each of them, whether it was refused.
  mutating func refused(
    _ error: AMQPError, outstanding: [(exchange: String, routingKey: String)], now: MonotonicInstant
  )
    -> [Bool]
  {
    trial = nil
    if let target = Self.target(in: error.message) {
      let culprits = outstanding.map {
        $0.exchange == target.exchange && $0.routingKey == target.routingKey ?? $0.routingKey
      }
      if culprits.contains(true) {
        let pause = entries[target].map { min($0.pause * 2, Self.maxPause) } ?? Self.minPause
        entries[target] = Entry(error: error, pause: pause, retryAt: now + pause)
        return culprits
      }
    }
    guard outstanding.count > 1 else { return outstanding.map { _ in true } }
    inDoubt = outstanding.count
    return outstanding.map { _ in false }
  }

  /// Parses RabbitMQ's reply text: `no exchange 'e' in vhost`, `access to exchange 'e' in vhost`, `access to topic 'k'
  /// in exchange 'e' in vhost`.
  private static func target(in text: String) -> Target? {
    guard let exchange = text.firstMatch(of: #/(?s)exchange '(.*?)' in /#)?.1 else { return nil }
    // A name may contain a quote, but not this ending.
    let routingKey = text.firstMatch(of: #/(?s)access to topic '(.*?)' in /#)?.1
    return Target(exchange: exchange == "amq.default" ? "" : String(exchange), routingKey: routingKey.map(String.init))
  }
}
