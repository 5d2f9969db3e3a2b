import Journey
import Synchronization

/// Messages without events that were acked and whose raw bodies are not written yet. Bounded: what does not fit is not
/// kept.
final class IgnoredMessages: Sendable {
  private struct State {
    var messages: [InboundMessage] = []
    var bytes = 0
    var dropped = 0
  }

  /// Of bodies. The relay empties the buffer twice a second.
  private static let maxBytes = 16 << 20
  private let state = Mutex(State())

  func add(_ message: InboundMessage) {
    guard let origin = message.origin else { return }
    state.withLock { state in
      // A message is a hundred bytes or two besides its body.
      guard state.bytes + origin.bytes + 256 <= Self.maxBytes else {
        state.dropped += 1
        return
      }
      state.bytes += origin.bytes + 256
      state.messages.append(message)
    }
  }

  /// Puts back what could not be written.
  func restore(_ messages: [InboundMessage]) { for message in messages { add(message) } }

  /// - Returns: the messages, and how many did not fit.
  func removeAll() -> (messages: [InboundMessage], dropped: Int) {
    state.withLock { state in
      defer { state = State() }
      return (state.messages, state.dropped)
    }
  }
}
