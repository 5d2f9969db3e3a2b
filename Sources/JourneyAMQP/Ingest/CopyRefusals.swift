import AMQPClient

/// The exchanges that lately have not taken copies of messages, and why. Pure.
///
/// What one exchange refuses stays a problem until that one takes a copy, whatever others take meanwhile; or until it
/// has refused none for a while, for there may be none to be published any more.
struct CopyRefusals {
  /// Longer than the pauses between two tries of a copy that waits.
  static let memory = Duration.seconds(600)

  private var entries: [String: (reason: String, at: ContinuousClock.Instant)] = [:]

  var isEmpty: Bool { entries.isEmpty }

  /// For a probe: without the broker's own words.
  var problem: String? { entries.min { $0.key < $1.key }?.value.reason }

  /// When the oldest is forgotten.
  var nextForgotten: ContinuousClock.Instant? { entries.values.map { $0.at + Self.memory }.min() }

  /// - Returns: what to log, where the exchange took copies before.
  mutating func record(_ outcome: PublishOutcome, by exchange: String, now: ContinuousClock.Instant) -> String? {
    let reason: String
    switch outcome {
    case .confirmed:
      entries[exchange] = nil
      return nil
    case .returned: reason = "no queue takes them"
    case .nacked: reason = "the broker refuses them; a queue may be full"
    case .failed(let error) where error.isRefusal: reason = error.reason
    // A lost connection, a stop or a copy that is too large says nothing about the exchange.
    case .failed, .unknown: return nil
    }
    let text = "the exchange \(exchange) takes no retries or dead letters"
    let isNew = entries.updateValue(("\(text): \(reason)", now), forKey: exchange) == nil
    return isNew ? "\(text): \(outcome.explanation)" : nil
  }

  mutating func forget(now: ContinuousClock.Instant) {
    entries = entries.filter { now < $0.value.at + Self.memory }
  }
}
