import AMQPClient

/// The exchanges that have recently refused copies of messages, and why. Pure.
///
/// A refusal ends when the same exchange accepts a copy, or when it has refused none for `memory`: there may be nothing
/// left to publish.
struct CopyRefusals {
  /// Longer than the pauses between two attempts to publish a copy.
  static let memory = Duration.seconds(600)

  private var entries: [String: (reason: String, at: ContinuousClock.Instant)] = [:]

  var isEmpty: Bool { entries.isEmpty }

  /// For a health check: without the broker's error message.
  var problem: String? { entries.min { $0.key < $1.key }?.value.reason }

  /// When the oldest refusal expires.
  var nextForgotten: ContinuousClock.Instant? { entries.values.map { $0.at + Self.memory }.min() }

  /// - Returns: what to log; nil unless the exchange has begun to refuse copies.
  mutating func record(_ outcome: PublishOutcome, by exchange: String, now: ContinuousClock.Instant) -> String? {
    let reason: String
    switch outcome {
    case .confirmed:
      entries[exchange] = nil
      return nil
    case .returned: reason = "no queue is bound for them"
    case .nacked: reason = "the broker refuses them; a queue may be full"
    case .failed(let error) where error.isRefusal: reason = error.reason
    // A lost connection, a stop or an oversized copy says nothing about the exchange.
    case .failed, .unknown, .held: return nil
    }
    let text = "the exchange \(exchange) refuses retries or dead letters"
    let isNew = entries.updateValue(("\(text): \(reason)", now), forKey: exchange) == nil
    return isNew ? "\(text): \(outcome.explanation)" : nil
  }

  mutating func forget(now: ContinuousClock.Instant) {
    entries = entries.filter { now < $0.value.at + Self.memory }
  }
}
