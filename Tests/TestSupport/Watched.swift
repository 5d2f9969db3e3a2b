package import Logging
import Synchronization

/// A value that tests change and wait for, so that no test has to sleep.
package final class Watched<State: Sendable>: Sendable {
  private struct Waiter {
    var condition: @Sendable (State) -> Bool
    var continuation: CheckedContinuation<Void, any Error>
  }
  private struct Guarded {
    var state: State
    var waiters: [UInt64: Waiter] = [:]
    var cancelled: Set<UInt64> = []
    var nextWaiter: UInt64 = 0
  }
  private let guarded: Mutex<Guarded>

  package init(_ state: State) { guarded = Mutex(Guarded(state: state)) }

  package var now: State { guarded.withLock(\.state) }

  @discardableResult
  package func change<T: Sendable>(_ body: (inout State) -> T) -> T {
    let (result, ready) = guarded.withLock { guarded in
      let result = body(&guarded.state)
      let ready = guarded.waiters.filter { $0.value.condition(guarded.state) }
      for id in ready.keys { guarded.waiters[id] = nil }
      return (result, ready.values.map(\.continuation))
    }
    for continuation in ready { continuation.resume() }
    return result
  }

  /// Waits until the condition holds.
  /// - Throws: `CancellationError`, so that a time limit ends the test.
  package func wait(until condition: @escaping @Sendable (State) -> Bool) async throws {
    let id = guarded.withLock { guarded in
      guarded.nextWaiter += 1
      return guarded.nextWaiter
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let outcome: Result<Void, any Error>? = guarded.withLock { guarded in
          if guarded.cancelled.remove(id) != nil { return .failure(CancellationError()) }
          if condition(guarded.state) { return .success(()) }
          guarded.waiters[id] = Waiter(condition: condition, continuation: continuation)
          return nil
        }
        if let outcome { continuation.resume(with: outcome) }
      }
    } onCancel: {
      let waiter = guarded.withLock { guarded in
        let waiter = guarded.waiters.removeValue(forKey: id)
        if waiter == nil { guarded.cancelled.insert(id) }
        return waiter
      }
      waiter?.continuation.resume(throwing: CancellationError())
    }
  }
}

extension Watched<Int> {
  /// Decrements the number.
  /// - Returns: false once it is 0.
  package func removeOne() -> Bool {
    change { left in
      left -= 1
      return left >= 0
    }
  }
}

package let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Runs an operation while `body` runs, and waits for its end; stops waiting if the test is cancelled.
package func whileRunning(_ operation: @escaping @Sendable () async throws -> Void, _ body: () async throws -> Void)
  async throws
{
  let hasEnded = Watched(false)
  let run = Task {
    defer { hasEnded.change { $0 = true } }
    try await operation()
  }
  do {
    try await body()
    try await hasEnded.wait { $0 }
  } catch {
    run.cancel()
    throw error
  }
  try await run.value
}
