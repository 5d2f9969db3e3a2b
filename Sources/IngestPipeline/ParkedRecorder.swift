import ConnectionThreads
import FoundationEssentials
public import Journey
public import Logging
public import ServiceLifecycle
import Synchronization

/// Records in batches which messages are parked, before they are.
///
/// It holds nothing up: who records waits at most `timeout`, and not at all while the store does not answer. What was
/// not recorded in time is recorded later, up to a number of messages.
public final class ParkedRecorder: ParkedMessageLog, Service {
  private struct State {
    /// By id: only the last time counts.
    var pending: [UUID: ParkedMessage] = [:]
    /// They open when what was pending as they came is stored, or the attempt has failed.
    var waiters: [Latch] = []
    var isWriting = false
    var isFailing = false

    mutating func add(_ messages: [ParkedMessage]) {
      for message in messages where pending.count < maxPending || pending[message.id] != nil {
        pending[message.id] = message
      }
    }
  }

  private static let maxPending = 20_000
  private let store: any ParkedMessageStore
  private let timeout: Duration
  private let interval: Duration
  private let logger: Logger
  private let state = Mutex(State())

  /// - Parameter interval: how long until what was not recorded is tried again, and old records are deleted.
  public init(
    store: any ParkedMessageStore, timeout: Duration = .seconds(1), interval: Duration = .seconds(10), logger: Logger
  ) {
    self.store = store
    self.timeout = timeout
    self.interval = interval
    self.logger = logger
  }

  /// How many messages wait to be recorded.
  package var pending: Int { state.withLock(\.pending.count) }

  public func record(_ messages: [ParkedMessage]) async {
    let latch = Latch()
    let (waits, starts) = state.withLock { state in
      state.add(messages)
      guard !state.isFailing else { return (false, false) }
      state.waiters.append(latch)
      let starts = !state.isWriting
      state.isWriting = true
      return (true, starts)
    }
    guard waits else { return }
    if starts { Task { await write() } }
    let alarm = Task {
      try await Task.sleep(for: timeout)
      state.withLock { if $0.isWriting { $0.isFailing = true } }
      latch.open()
    }
    await latch.wait()
    alarm.cancel()
  }

  public func run() async throws {
    await cancelWhenGracefulShutdown { [self] in
      while (try? await Task.sleep(for: interval)) != nil {
        await retry()
        await forget()
      }
    }
    // A stop does not wait for a store that is away.
    if !state.withLock(\.isFailing) { await retry() }
  }

  private func retry() async {
    let starts = state.withLock { state in
      guard !state.isWriting else { return false }
      state.isWriting = !state.pending.isEmpty
      if !state.isWriting { state.isFailing = false }
      return state.isWriting
    }
    if starts { await write() }
  }

  /// Stores what is pending until nothing is, or an attempt fails.
  private func write() async {
    while true {
      let (messages, waiters) = state.withLock { state in
        defer { (state.pending, state.waiters) = ([:], []) }
        if state.pending.isEmpty { (state.isWriting, state.isFailing) = (false, false) }
        return (Array(state.pending.values), state.waiters)
      }
      guard !messages.isEmpty else {
        for waiter in waiters { waiter.open() }
        return
      }
      var failure: StoreError?
      do throws(StoreError) { try await store.store(messages) } catch { failure = error }
      guard let failure else {
        for waiter in waiters { waiter.open() }
        continue
      }
      let more = state.withLock { state in
        // Repeating does not help where the store refuses the messages.
        if failure.kind == .transient || failure.kind == .contended {
          state.add(messages.filter { state.pending[$0.id] == nil })
        }
        (state.isWriting, state.isFailing) = (false, true)
        defer { state.waiters = [] }
        return state.waiters
      }
      logger.warning("where messages wait in retry queues could not be recorded; they wait all the same: \(failure)")
      for waiter in waiters + more { waiter.open() }
      return
    }
  }

  private func forget() async {
    do throws(StoreError) {
      while try await store.forget(limit: 1000) == 1000, !Task.isCancelled {}
    } catch {
      logger.debug("records of messages that returned from retry queues could not be deleted, trying again: \(error)")
    }
  }
}
