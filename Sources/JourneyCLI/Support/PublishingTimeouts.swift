import AMQPClient
import ArgumentParser
import Synchronization

/// How long a command that publishes waits for a broker that takes nothing.
struct WaitOptions: ParsableArguments {
  @Option(
    name: .customLong("wait"),
    help: ArgumentHelp(
      "How long to wait for a broker that takes no messages, being short of memory or disk or not there.",
      valueName: "seconds"))
  var seconds = 60

  func validate() throws {
    guard (0...86_400).contains(seconds) else { throw ValidationError("--wait is a number of seconds, 0 to 86400") }
  }

  /// Returns once the broker takes messages. What it refuses is told when it is published.
  func untilPublishing(to exchange: String, _ admin: AMQPAdmin) async throws {
    do {
      try await PublishingTimeouts.untilPublishing(to: exchange, admin, seconds: seconds) { [seconds] in
        PublishingTimeouts.say($0, seconds)
      }
    } catch let error as AMQPError where error.code == .blocked {
      throw Failure(
        .unavailable,
        "the broker takes no messages now: \(error.message); given up after \(seconds) s, nothing was published")
    }
  }

  func timeout() -> PublishingTimeouts { PublishingTimeouts(seconds: seconds) { PublishingTimeouts.say($0, seconds) } }
}

/// Watches a publisher whose broker takes nothing any more, says so, and gives up after a while: without it a command
/// would wait without a word for ever.
final class PublishingTimeouts: Sendable {
  private struct State {
    var publisher: AMQPPublisher?
    var reason: String?
    /// Ends the waiting.
    var alarm: Task<Void, Never>?
    var aborted: String?
    var onAborted: (@Sendable () -> Void)?
  }

  private let state = Mutex(State())
  private let limit: Duration
  private let say: @Sendable (String) -> Void

  init(seconds: Int, say: @escaping @Sendable (String) -> Void) {
    limit = .seconds(seconds)
    self.say = say
  }

  /// Returns once the broker takes messages.
  /// - Throws: `blocked` where it takes none for so many seconds.
  static func untilPublishing(
    to exchange: String, _ admin: AMQPAdmin, seconds: Int, say: @escaping @Sendable (String) -> Void = { _ in }
  ) async throws {
    do {
      try await admin.checkPublish(exchange: exchange, routingKey: "check", timeout: .seconds(seconds)) {
        say("the broker takes no messages now: \($0)")
      }
    } catch  where error.isRefusal {}
  }

  static func say(_ reason: String, _ seconds: Int) {
    Output.endProgress()
    Output.error("journey: \(reason); waiting up to \(seconds) s")
  }

  /// Why the publisher was closed, where it was.
  var aborted: String? { state.withLock(\.aborted) }

  /// Closes the publisher where it waits for too long: then everything it has is answered.
  /// - Parameter onGivenUp: called before that.
  func guardWaiting(of publisher: AMQPPublisher, onAborted: @escaping @Sendable () -> Void = {}) {
    state.withLock {
      $0.publisher = publisher
      $0.onAborted = onAborted
    }
  }

  func record(_ event: PublisherEvent) {
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
        await giveUp()
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

  private func giveUp() async {
    let waiting: (publisher: AMQPPublisher?, onAborted: (@Sendable () -> Void)?)? = state.withLock { state in
      // The broker may have begun to take messages as the time ran out.
      guard let reason = state.reason else { return nil }
      state.aborted = reason
      return (state.publisher, state.onAborted)
    }
    guard let waiting else { return }
    waiting.onAborted?()
    await waiting.publisher?.close(deadline: .seconds(1))
  }
}
