import FoundationEssentials
import JourneyPipeline
import Logging
import ServiceLifecycle
import Synchronization

/// Hands changes out to everybody who watches, each those of its own organisations only.
final class ChangeHub: Service {
  enum Signal: Sendable {
    case change(JourneyChange)
    /// Nothing happened; the watcher may see to its connection and to what it may still see.
    case beat
  }

  private struct Watcher {
    var organizations: Set<UUID>
    var continuation: AsyncStream<Signal>.Continuation
  }
  private struct State {
    var watchers: [UInt64: Watcher] = [:]
    var next: UInt64 = 0
    var isClosed = false
  }

  private let feed: any ChangeFeed
  private let most: Int
  private let logger: Logger
  private let state = Mutex(State())

  /// - Parameter most: how many may watch at the same time.
  init(feed: any ChangeFeed, most: Int, logger: Logger) {
    self.feed = feed
    self.most = most
    self.logger = logger
  }

  /// - Returns: nil where too many watch already.
  func watch(_ organizations: Set<UUID>) -> (id: UInt64, signals: AsyncStream<Signal>)? {
    // One who reads slowly misses changes rather than fill the memory: each says only that it is worth looking.
    let (stream, continuation) = AsyncStream.makeStream(of: Signal.self, bufferingPolicy: .bufferingNewest(64))
    let id: UInt64? = state.withLock { state in
      guard !state.isClosed, state.watchers.count < most else { return nil }
      state.next += 1
      state.watchers[state.next] = Watcher(organizations: organizations, continuation: continuation)
      return state.next
    }
    return id.map { ($0, stream) }
  }

  func update(_ id: UInt64, _ organizations: Set<UUID>) { state.withLock { $0.watchers[id]?.organizations = organizations } }
  func leave(_ id: UInt64) { state.withLock { _ = $0.watchers.removeValue(forKey: id) } }

  private func publish(_ change: JourneyChange) {
    state.withLock { state in
      for watcher in state.watchers.values where watcher.organizations.contains(change.orgID) { watcher.continuation.yield(.change(change)) }
    }
  }

  private func beat() { state.withLock { state in for watcher in state.watchers.values { watcher.continuation.yield(.beat) } } }

  private func close() {
    let watchers = state.withLock { state in
      state.isClosed = true
      defer { state.watchers = [:] }
      return state.watchers
    }
    for watcher in watchers.values { watcher.continuation.finish() }
  }

  func run() async throws {
    await cancelWhenGracefulShutdown { [self] in
      await withTaskGroup { group in
        group.addTask { [self] in await follow() }
        group.addTask { [self] in
          while (try? await Task.sleep(for: .seconds(15))) != nil { beat() }
        }
      }
    }
    close()
  }

  private func follow() async {
    var failures = 0
    while !Task.isCancelled {
      do {
        try await feed.listen { [self] in publish($0) }
      } catch {
        failures += 1
        // The database being away is told by those who need it; here it is enough once.
        if failures == 1, !Task.isCancelled { logger.warning("live changes are interrupted: \(error)") }
      }
      try? await Task.sleep(for: .milliseconds(min(5000, 200 * failures)))
    }
  }
}
