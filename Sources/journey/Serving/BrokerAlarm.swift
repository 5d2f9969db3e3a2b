import AMQPClient
import JourneyPipeline
import Synchronization

/// Whether the broker, short of memory or disk, takes nothing from the connection that publishes.
final class BrokerAlarm: Sendable {
  private let reason = Mutex<String?>(nil)

  func note(_ event: PublisherEvent) {
    switch event {
    case .blocked(let why): reason.withLock { $0 = why }
    case .connected, .lost, .unblocked, .closed: reason.withLock { $0 = nil }
    case .channelClosed: break
    }
  }

  /// - Parameter waiting: how many actions wait for the broker. Nobody misses anything where none does.
  func problems(waiting: Int) -> [Health.Problem] {
    guard waiting > 0, let reason = reason.withLock(\.self) else { return [] }
    return [Health.Problem(part: .actions, reason: "the broker takes no messages for now: \(reason)")]
  }
}
