import FoundationEssentials
import HTTPTypes
import Journey
import Logging
import ServiceLifecycle
import Synchronization

/// Hands changes out to everybody who watches, each those of its own organisations only, for as long as it may see
/// them.
///
/// Every two seconds it asks the database, once a token, what its user may see. Whoever has lost an organisation, or
/// whose token has ended, is shown nothing more: the stream ends, and the client has to come again.
final class ChangeBroadcaster: Service {
  enum Signal: Sendable {
    case change(JourneyChange)
    /// Nothing happened; the watcher may see to its connection.
    case heartbeat
  }

  /// A place among those who watch. It is given back when nobody holds it any more, also where the answer was never
  /// written.
  final class Watching: Sendable {
    private let id: UInt64
    private let broadcaster: ChangeBroadcaster
    let signals: AsyncStream<Signal>

    fileprivate init(id: UInt64, broadcaster: ChangeBroadcaster, signals: AsyncStream<Signal>) {
      self.id = id
      self.broadcaster = broadcaster
      self.signals = signals
    }

    /// Gives the place back now; more often does nothing.
    func unsubscribe() { broadcaster.unsubscribe(id) }

    deinit { broadcaster.unsubscribe(id) }
  }

  private struct Watcher {
    let caller: Caller
    let peer: Peer?
    var organizations: Set<UUID>
    let continuation: AsyncStream<Signal>.Continuation
    /// Breaks the connection.
    let cut: @Sendable () -> Void
    var isEnded = false
  }
  private struct State {
    var watchers: [UInt64: Watcher] = [:]
    var next: UInt64 = 0
    var isClosed = false
  }

  static let interval = Duration.seconds(2)
  /// What cannot be checked for as long is not shown any more.
  private static let trust = Duration.seconds(10)
  private static let beats = 7
  private static let later: HTTPFields = [.retryAfter: "30"]

  private let feed: any ChangeFeed
  private let reader: any JourneyReader
  private let clock: any WallClock
  private let most: Int
  private let maxOfUser: Int
  private let maxOfPeer: Int
  private let logger: Logger
  private let state = Mutex(State())

  /// - Parameter most: how many may watch at the same time.
  init(
    feed: any ChangeFeed, reader: any JourneyReader, clock: any WallClock, most: Int, maxOfUser: Int, maxOfPeer: Int,
    logger: Logger
  ) {
    self.feed = feed
    self.reader = reader
    self.clock = clock
    self.most = most
    self.maxOfUser = maxOfUser
    self.maxOfPeer = maxOfPeer
    self.logger = logger
  }

  /// - Parameter cut: breaks the connection of one who is to see no more and does not read either.
  func watch(
    _ organizations: Set<UUID>, for caller: Caller, at peer: Peer?, cut: @escaping @Sendable () -> Void
  ) throws(Problem) -> Watching {
    // One who reads slowly misses changes rather than fill the memory: each says only that it is worth looking.
    let (stream, continuation) = AsyncStream.makeStream(of: Signal.self, bufferingPolicy: .bufferingNewest(64))
    let id = try state.withLock { state throws(Problem) in
      guard !state.isClosed, state.watchers.count < most else {
        throw Problem(
          .serviceUnavailable, "too many watch already; ask again later, or look now and then", headers: Self.later)
      }
      guard state.watchers.values.count(where: { $0.caller.subject == caller.subject }) < maxOfUser else {
        throw Problem(
          .tooManyRequests, "you have \(maxOfUser) live streams already; close one", headers: Self.later)
      }
      guard peer == nil || state.watchers.values.count(where: { $0.peer == peer }) < maxOfPeer else {
        throw Problem(
          .tooManyRequests, "there are \(maxOfPeer) live streams of this address already", headers: Self.later)
      }
      state.next += 1
      state.watchers[state.next] = Watcher(
        caller: caller, peer: peer, organizations: organizations, continuation: continuation, cut: cut)
      return state.next
    }
    return Watching(id: id, broadcaster: self, signals: stream)
  }

  private func unsubscribe(_ id: UInt64) { state.withLock { _ = $0.watchers.removeValue(forKey: id) } }

  private func publish(_ change: JourneyChange) {
    state.withLock { state in
      for watcher in state.watchers.values where !watcher.isEnded && watcher.organizations.contains(change.orgID) {
        watcher.continuation.yield(.change(change))
      }
    }
  }

  private func heartbeat() {
    state.withLock { state in for watcher in state.watchers.values { watcher.continuation.yield(.heartbeat) } }
  }

  // MARK: Who may still watch

  private func check() async {
    var failing: ContinuousClock.Instant?
    var rounds = 0
    while (try? await Task.sleep(for: Self.interval)) != nil {
      rounds += 1
      if rounds % Self.beats == 0 { heartbeat() }
      cutOff()
      let now = clock.now()
      end { now >= $0.caller.expiresAt }
      do throws(StoreError) {
        for caller in callers {
          let organizations = try await reader.organizations(of: caller)
          end { $0.caller == caller && !organizations.isSuperset(of: $0.organizations) }
          update(caller, organizations)
        }
        failing = nil
      } catch {
        let since = failing ?? .now
        failing = since
        if .now - since > Self.trust { end { _ in true } }
      }
    }
  }

  private var callers: Set<Caller> {
    state.withLock { state in Set(state.watchers.values.lazy.filter { !$0.isEnded }.map(\.caller)) }
  }

  private func update(_ caller: Caller, _ organizations: Set<UUID>) {
    state.withLock { state in
      for (id, watcher) in state.watchers where watcher.caller == caller {
        state.watchers[id]?.organizations = organizations
      }
    }
  }

  private func end(_ isOver: (Watcher) -> Bool) {
    state.withLock { state in
      for (id, watcher) in state.watchers where !watcher.isEnded && isOver(watcher) {
        state.watchers[id]?.isEnded = true
        watcher.continuation.finish()
      }
    }
  }

  /// Those whose stream ended a round ago and who are still there do not read: nothing else would ever end them.
  private func cutOff() {
    let stuck = state.withLock { state in state.watchers.values.filter(\.isEnded) }
    for watcher in stuck { watcher.cut() }
  }

  // MARK: Running

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
        group.addTask { [self] in await check() }
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
        // The database being away is reported by those who need it; here it is enough once.
        if failures == 1, !Task.isCancelled { logger.warning("live changes are interrupted: \(error)") }
      }
      try? await Task.sleep(for: .milliseconds(min(5000, 200 * failures)))
    }
  }
}
