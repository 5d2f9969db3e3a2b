public import AMQPClient
import Synchronization

/// Watches a publisher whose broker accepts no messages, reports it, and closes the publisher after a timeout. Without it
/// a command would wait silently and forever.
public final class PublishingTimeouts: Sendable {
  private struct State {
    var publisher: AMQPPublisher?
    var reason: String?
    /// Fires at the timeout.
    var alarm: Task<Void, Never>?
    var aborted: String?
    var onAborted: (@Sendable () -> Void)?
  }

  private let state = Mutex(State())
  private let limit: Duration
  private let say: @Sendable (String) -> Void

  /// - Parameter say: called with the reason when the waiting begins.
  public init(seconds: Int, say: @escaping @Sendable (String) -> Void) {
    limit = .seconds(seconds)
    self.say = say
  }

  /// Returns once the broker accepts messages.
  /// - Throws: `AMQPError` with the code `blocked` when it accepts none for `seconds`.
  public static func untilPublishing(
    to exchange: String, _ admin: AMQPAdmin, seconds: Int, say: @escaping @Sendable (String) -> Void = { _ in }
  ) async throws {
    do {
      try await admin.checkPublish(exchange: exchange, routingKey: "check", timeout: .seconds(seconds)) {
        say("the broker takes no messages now: \($0)")
      }
    } catch  where error.isRefusal {}
  }

  /// Why the publisher was closed; nil if it was not.
  public var aborted: String? { state.withLock(\.aborted) }

  /// Sets the publisher to close after the timeout: then all its pending publishes return.
  /// - Parameter onAborted: called before that.
  public func guardWaiting(of publisher: AMQPPublisher, onAborted: @escaping @Sendable () -> Void = {}) {
    state.withLock {
      $0.publisher = publisher
      $0.onAborted = onAborted
    }
  }

  public func record(_ event: PublisherEvent) {
    switch event {
    case .blocked(let reason): begin("the broker takes no messages now: \(reason)")
    case .lost(let error): begin("the connection to the broker is lost: \(error.message)")
    case .connected, .unblocked, .closed: end()
    case .channelClosed: break
    }
  }

  private func begin(_ reason: String) {
    let isNew = state.withLock { state in
      defer { state.reason = reason }
      guard state.reason == nil, state.aborted == nil else { return false }
      state.alarm = Task { [limit] in
        guard (try? await Task.sleep(for: limit)) != nil else { return }
        await abort()
      }
      return true
    }
    if isNew { say(reason) }
  }

  private func end() {
    state.withLock { state in
      state.alarm?.cancel()
      state.alarm = nil
      state.reason = nil
    }
  }

  private func abort() async {
    let waiting: (publisher: AMQPPublisher?, onAborted: (@Sendable () -> Void)?)? = state.withLock { state in
      // The broker may have begun to accept messages at the last moment.
      guard let reason = state.reason else { return nil }
      state.aborted = reason
      return (state.publisher, state.onAborted)
    }
    guard let waiting else { return }
    waiting.onAborted?()
    await waiting.publisher?.close(deadline: .seconds(1))
  }
}
