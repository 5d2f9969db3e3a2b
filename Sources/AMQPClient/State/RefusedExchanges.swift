import ConnectionThreads

/// Which exchanges refuse what is published to them, and when to try them again. Pure: time is passed in.
///
/// A refusal closes the channel, and with it nobody knows what became of everything else on it. So a message to an
/// exchange that has refused is answered here for a while, and then tried alone.
struct RefusedExchanges {
  enum Verdict: Equatable {
    case send
    case refused(AMQPError)
    /// Until nothing is outstanding: it has to go alone.
    case wait
  }

  /// An exchange, or one topic of it where the broker checks topics.
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
  /// How long others wait for the answers that are to come, so that an exchange can be tried alone.
  static let timeout = Duration.seconds(2)

  private var entries: [Target: Entry] = [:]
  /// What is tried at present, alone.
  private var trial: Target?
  /// How many of the next messages go alone, since one like them was refused and the broker has not said which.
  private var inDoubt = 0

  /// Whether nothing is refused: the usual case.
  var isEmpty: Bool { entries.isEmpty && inDoubt == 0 }

  /// What to do with the next message.
  ///
  /// - Parameter outstanding: how many messages the broker has not answered yet.
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

  /// What was under way is lost, whatever it was.
  mutating func lost() { trial = nil }

  /// The broker has answered a message.
  mutating func answered() {
    if let trial { entries[trial] = nil }
    trial = nil
    inDoubt = max(0, inDoubt - 1)
  }

  /// The broker has closed the channel for what was published.
  ///
  /// - Parameter outstanding: the exchange and routing key of each message without an answer.
  /// - Returns: for each of them, whether it is one that was refused.
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

  /// Reads RabbitMQ's words: `no exchange 'e' in vhost`, `access to exchange 'e' in vhost`, `access to topic 'k' in
  /// exchange 'e' in vhost`.
  private static func target(in text: String) -> Target? {
    guard let exchange = quoted(after: "exchange '", in: text) else { return nil }
    return Target(
      exchange: exchange == "amq.default" ? "" : exchange, routingKey: quoted(after: "access to topic '", in: text))
  }

  /// A name may hold a quote itself, but not this end.
  private static func quoted(after mark: String, in text: String) -> String? {
    guard let start = text.firstRange(of: mark)?.upperBound,
      let end = text[start...].firstRange(of: "' in ")?.lowerBound
    else { return nil }
    return String(text[start..<end])
  }
}
