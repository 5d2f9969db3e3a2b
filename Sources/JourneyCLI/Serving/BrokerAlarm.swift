import Journey
import AMQPClient
import Synchronization

/// Whether the broker, short of memory or disk, takes nothing from the connection that publishes.
final class BrokerAlarm: Sendable {
  private let reason = Mutex<String?>(nil)

  func record(_ event: PublisherEvent) {
    switch event {
    case .blocked(let why): reason.withLock { $0 = why }
    case .connected, .lost, .unblocked, .closed: reason.withLock { $0 = nil }
    case .channelClosed: break
    }
  }

  /// - Parameters:
  ///   - actions: how many actions wait for the broker. Nobody misses anything where nothing waits.
  ///   - copies: how many messages wait until the broker has taken their copies for retry queues or dead letters.
  func problems(actions: Int, copies: Int) -> [Health.Problem] {
    guard let reason = reason.withLock(\.self) else { return [] }
    return [(Health.Part.copies, copies), (.actions, actions)].filter { $0.1 > 0 }.map {
      Health.Problem(part: $0.0, reason: "the broker takes no messages for now: \(reason)")
    }
  }
}
