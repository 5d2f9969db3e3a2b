import Journey
import Synchronization

/// A FIFO of events to commit, which workers take from in batches. It never runs two commits of one client at a time, so
/// parallel commits do not wait for each other's locks.
///
/// No worker waits for a batch to fill. An idle worker takes everything that waits. Another worker starts only when the
/// backlog is at least as large as the largest batch started within the last `timeout`, and a quarter of that belongs
/// to clients that no worker holds. A smaller backlog gathers. A batch older than `timeout` no longer counts, so a
/// stuck worker holds up no other.
///
/// A client whose rows are locked elsewhere is set aside for a while; its events are skipped.
///
/// The source's limit of unsettled messages bounds the length. One reader per worker, any number of writers.
final class BatchQueue<Element: Sendable>: Sendable {
  private struct CommitWorker {
    var waiting: CheckedContinuation<[Element]?, Never>?
    /// The clients of the batch that this worker is committing.
    var clients: Set<Int> = []
    /// The size and start of the current batch; nil if the worker is idle or pausing.
    var work: (count: Int, start: ContinuousClock.Instant)?
  }
  private struct State {
    var elements: [Element] = []
    var workers: [CommitWorker]
    /// Clients that are set aside, each with the end of its pause.
    var setAside: [Int: ContinuousClock.Instant] = [:]
    var isClosed = false
  }
  private let state: Mutex<State>
  private let limit: Int
  private let timeout: Duration
  private let now: @Sendable () -> ContinuousClock.Instant
  private let client: @Sendable (Element) -> Int

  /// - Parameters:
  ///   - limit: the maximum size of a batch.
  ///   - timeout: longer than a commit takes without waiting for locks.
  ///   - client: a number for an element's client, the same for all elements of a client.
  init(
    workers: Int, limit: Int, timeout: Duration = .seconds(1),
    now: @escaping @Sendable () -> ContinuousClock.Instant = { .now },
    client: @escaping @Sendable (Element) -> Int
  ) {
    state = Mutex(State(workers: (0..<workers).map { _ in CommitWorker() }))
    self.limit = limit
    self.timeout = timeout
    self.now = now
    self.client = client
  }

  func append(_ elements: [Element]) { change { $0.elements.append(contentsOf: elements) } }

  /// Returns elements to the head of the queue.
  /// - Parameter pauses: how long to set each of these clients aside.
  func requeue(_ elements: [Element], pauses: [Int: Duration] = [:]) {
    let now = now()
    change { state in
      state.elements.insert(contentsOf: elements, at: 0)
      for (client, markIdle) in pauses { state.setAside[client] = now + markIdle }
    }
    for markIdle in Set(pauses.values) {
      Task {
        try? await Task.sleep(for: markIdle)
        change { _ in }
      }
    }
  }

  /// Removes and returns all elements that no worker has taken.
  func removeAll() -> [Element] {
    state.withLock { state in
      defer { state.elements = [] }
      return state.elements
    }
  }

  /// Removes what no worker has taken.
  func remove(where isUnwanted: (Element) -> Bool) -> [Element] {
    state.withLock { state in
      let removed = state.elements.filter(isUnwanted)
      if !removed.isEmpty { state.elements.removeAll(where: isUnwanted) }
      return removed
    }
  }

  /// How many elements wait for clients that are set aside.
  var countSetAside: Int {
    state.withLock { state in
      state.setAside.isEmpty ? 0 : state.elements.count { state.setAside[client($0)] != nil }
    }
  }

  /// The smallest value of the elements that wait; nil if none waits.
  func smallest<Value: Comparable & Sendable>(_ value: (Element) -> Value) -> Value? {
    state.withLock { $0.elements.lazy.map(value).min() }
  }

  var isClosed: Bool { state.withLock(\.isClosed) }

  /// Accepts no more elements; workers still drain what is queued.
  func close() { change { $0.isClosed = true } }

  /// Removes a worker that has stopped.
  func detach(_ worker: Int) { change { $0.workers[worker] = CommitWorker() } }

  /// Counts the worker as idle until its next call of `next`, so that the others take even a small backlog. It still
  /// holds its clients.
  func markIdle(_ worker: Int) { change { $0.workers[worker].work = nil } }

  /// Ends the worker's last batch and waits for the next one.
  /// - Returns: nil once the queue is closed and empty.
  func next(for worker: Int) async -> [Element]? {
    await withCheckedContinuation { continuation in
      // The returning worker is served first: its connection is warm.
      change { state in
        state.workers[worker] = CommitWorker(waiting: continuation)
      } first: {
        worker
      }
    }
  }

  /// Dispatches every `timeout`, so that a stuck worker does not hold up the others while nothing else happens. Runs
  /// until it is cancelled.
  func watch() async {
    while !Task.isCancelled {
      try? await Task.sleep(for: timeout)
      change { _ in }
    }
  }

  private func change(_ change: (inout State) -> Void, first: () -> Int? = { nil }) {
    let woken = state.withLock { state in
      change(&state)
      var woken: [(CheckedContinuation<[Element]?, Never>, [Element]?)] = []
      for worker in [first()].compactMap(\.self) + state.workers.indices {
        guard let continuation = state.workers[worker].waiting else { continue }
        // If there is nothing for one worker, there is nothing for the next.
        guard let taken = dequeue(for: worker, &state) else { break }
        state.workers[worker].waiting = nil
        woken.append((continuation, taken))
      }
      return woken
    }
    for (continuation, batch) in woken { continuation.resume(returning: batch) }
  }

  /// - Returns: a batch, `.some(nil)` at the end of the queue, or nil if the worker has to wait.
  private func dequeue(for worker: Int, _ state: inout State) -> [Element]?? {
    guard !state.elements.isEmpty else { return state.isClosed ? .some(nil) : nil }
    let busy = state.workers.map(\.clients).filter { !$0.isEmpty }
    let now = now()
    if !state.setAside.isEmpty { state.setAside = state.setAside.filter { $0.value > now } }
    let setAside = state.setAside
    let least = state.workers.compactMap(\.work).filter { now - $0.start < timeout }.map(\.count).max() ?? 1
    guard state.elements.count >= least else { return nil }
    var batch: [Element] = [], rest: [Element] = [], clients: Set<Int> = []
    batch.reserveCapacity(min(limit, state.elements.count))
    var index = 0
    while index < state.elements.count, batch.count < limit {
      let element = state.elements[index], client = client(element)
      if busy.contains(where: { $0.contains(client) }) || (!setAside.isEmpty && setAside[client] != nil) {
        rest.append(element)
      } else {
        batch.append(element)
        clients.insert(client)
      }
      index += 1
    }
    guard batch.count >= max(1, least / 4) else { return nil }
    state.elements.replaceSubrange(..<index, with: rest)
    state.workers[worker].clients = clients
    state.workers[worker].work = (batch.count, now)
    return batch
  }
}
