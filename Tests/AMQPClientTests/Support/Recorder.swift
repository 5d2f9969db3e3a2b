import Synchronization

struct WaitTimeout: Error, CustomStringConvertible {
  let description: String
}

/// Collects what callbacks report, and lets a test wait for what it needs.
final class Recorder<Element: Sendable>: Sendable {
  private struct State {
    var elements: [Element] = []
    var waiters: [Int: @Sendable ([Element]) -> Bool] = [:]
    var nextID = 0
  }

  private let state = Mutex(State())

  func record(_ element: Element) {
    state.withLock { state in
      state.elements.append(element)
      for (id, waiter) in state.waiters where waiter(state.elements) { state.waiters[id] = nil }
    }
  }

  var all: [Element] { state.withLock { $0.elements } }

  /// The first non-nil answer of `find` to everything recorded so far; asked again with every element.
  func wait<R: Sendable>(
    _ what: String, seconds: Double = 20, _ find: @escaping @Sendable ([Element]) -> R?
  ) async throws -> R {
    let (stream, continuation) = AsyncStream.makeStream(of: R.self)
    let id = state.withLock { state -> Int? in
      if let found = find(state.elements) {
        continuation.yield(found)
        return nil
      }
      state.nextID += 1
      state.waiters[state.nextID] = { elements in
        guard let found = find(elements) else { return false }
        continuation.yield(found)
        return true
      }
      return state.nextID
    }
    let timer = Task {
      try? await Task.sleep(for: .seconds(seconds))
      continuation.finish()
    }
    defer {
      timer.cancel()
      if let id { state.withLock { $0.waiters[id] = nil } }
    }
    for await found in stream { return found }
    throw WaitTimeout(
      description: "waited \(seconds) s for \(what); seen so far: \(String("\(all.suffix(5))".suffix(600)))")
  }
}
