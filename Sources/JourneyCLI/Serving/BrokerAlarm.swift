import Journey
import AMQPClient
import Synchronization

/// Whether the broker, short of memory or disk, takes nothing from the connection that publishes, and how often that
/// connection was lost.
final class BrokerAlarm: Sendable {
  private struct State {
    var reason: String?
    var since: ContinuousClock.Instant?
    /// Without the alarm that lasts.
    var blocked = Duration.zero
    var lost = 0

    mutating func end() {
      reason = nil
      if let since { blocked += since.duration(to: .now) }
      since = nil
    }
  }
  private let state = Mutex(State())

  func record(_ event: PublisherEvent) {
    state.withLock { state in
      switch event {
      case .blocked(let why):
        state.reason = why
        state.since = state.since ?? .now
      case .lost:
        state.lost += 1
        state.end()
      case .connected, .unblocked, .closed: state.end()
      case .channelClosed: break
      }
    }
  }

  /// For how long the broker has taken nothing, since the start.
  var blocked: Duration {
    state.withLock { state in state.blocked + (state.since.map { $0.duration(to: .now) } ?? .zero) }
  }

  /// Connections lost, and attempts to connect that failed.
  var connectionsLost: Int { state.withLock(\.lost) }

  /// - Parameters:
  ///   - actions: how many actions wait for the broker. Nobody misses anything where nothing waits.
  ///   - copies: how many messages wait until the broker has taken their copies for retry queues or dead letters.
  func problems(actions: Int, copies: Int) -> [Health.Problem] {
    guard let reason = state.withLock(\.reason) else { return [] }
    return [(Health.Part.copies, copies), (.actions, actions)].filter { $0.1 > 0 }.map {
      Health.Problem(part: $0.0, reason: "the broker takes no messages for now: \(reason)")
    }
  }
}
