import Synchronization

/// A value that takes time to read, from a server that may not answer: it is read when somebody asks, once for all who
/// ask meanwhile, and kept for a while. Nobody waits longer than a limit.
public final class CachedReading<Value: Sendable>: Sendable {
  private struct State {
    /// What was read last, nil if that failed, and when.
    var last: (value: Value?, at: ContinuousClock.Instant)?
    var isReading = false
    var waiting: [UInt64: CheckedContinuation<Value?, Never>] = [:]
    var nextID: UInt64 = 0
  }
  private let state = Mutex(State())
  private let lifetime: Duration
  private let limit: Duration
  private let keepsOld: Bool
  private let now: @Sendable () -> ContinuousClock.Instant
  private let read: @Sendable () async throws -> Value

  /// - Parameters:
  ///   - lifetime: for how long a value, or a failure, is not read again.
  ///   - limit: how long a caller waits. The reading goes on after it, for the next caller, so it has to end by itself.
  ///   - keepsOld: whether the last value is given on while it is read again.
  public init(
    lifetime: Duration, limit: Duration, keepsOld: Bool = false,
    now: @escaping @Sendable () -> ContinuousClock.Instant = { .now },
    read: @escaping @Sendable () async throws -> Value
  ) {
    self.lifetime = lifetime
    self.limit = limit
    self.keepsOld = keepsOld
    self.now = now
    self.read = read
  }

  /// - Returns: nil if it could not be read, or not in time.
  public func value() async -> Value? {
    await withCheckedContinuation { continuation in
      switch state.withLock({ next(&$0, continuation) }) {
      case .known(let value, let starts):
        if starts { Task { await readNow() } }
        continuation.resume(returning: value)
      case .waits(let id, let starts):
        if starts { Task { await readNow() } }
        Task {
          try? await Task.sleep(for: limit)
          state.withLock { $0.waiting.removeValue(forKey: id) }?.resume(returning: nil)
        }
      }
    }
  }

  private enum Next {
    case known(Value?, starts: Bool)
    /// - Parameter starts: whether the value is to be read, and is not being read yet.
    case waits(id: UInt64, starts: Bool)
  }

  /// In one step, so that no reading begins just after another has ended.
  private func next(_ state: inout State, _ continuation: CheckedContinuation<Value?, Never>) -> Next {
    if let last = state.last {
      if now() - last.at < lifetime { return .known(last.value, starts: false) }
      if keepsOld, let value = last.value {
        defer { state.isReading = true }
        return .known(value, starts: !state.isReading)
      }
    }
    state.nextID += 1
    state.waiting[state.nextID] = continuation
    defer { state.isReading = true }
    return .waits(id: state.nextID, starts: !state.isReading)
  }

  private func readNow() async {
    let value = try? await read()
    let waiting = state.withLock { state in
      state.last = (value, now())
      state.isReading = false
      defer { state.waiting = [:] }
      return state.waiting.values
    }
    for continuation in waiting { continuation.resume(returning: value) }
  }
}
