import Journey
import Synchronization

/// What waits to be committed, in the order of its arrival, and the lanes that take it in batches.
///
/// A lane passes over what belongs to a client that another lane is working on: commits that run side by side do not
/// meet at one lock, and whatever is taken is about the oldest there is, so that an acknowledgement covers many
/// messages.
///
/// How many lanes work follows the load, and nobody waits for a batch to fill. A single lane takes all that waits,
/// however little; a further one only where as much waits as the largest batch under way has, a quarter of that of
/// clients that nobody works on. So what comes while others are at work is committed at once if it is as much as they
/// have, and gathers otherwise. Only lanes count whose batch is younger than `timeout`: one that is stuck holds no
/// other back.
///
/// A client whose rows somebody else holds is set aside for a while: what waits for it is passed over, and nobody waits
/// for it.
///
/// The length is bounded by what the source hands out before settlement. One reader a lane, any number of writers.
final class BatchQueue<Element: Sendable>: Sendable {
  private struct CommitWorker {
    var waiting: CheckedContinuation<[Element]?, Never>?
    /// The clients of the batch that it has taken and not come back from.
    var clients: Set<Int> = []
    /// How many elements it is working on, and since when. nil: it is idle, or pauses.
    var work: (count: Int, start: ContinuousClock.Instant)?
  }
  private struct State {
    var elements: [Element] = []
    var workers: [CommitWorker]
    /// Clients that are set aside, and until when.
    var setAside: [Int: ContinuousClock.Instant] = [:]
    var isClosed = false
  }
  private let state: Mutex<State>
  private let limit: Int
  private let timeout: Duration
  private let now: @Sendable () -> ContinuousClock.Instant
  private let client: @Sendable (Element) -> Int

  /// - Parameters:
  ///   - limit: the most elements of a batch.
  ///   - patience: more than a commit takes, but for one that waits for somebody.
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

  /// Gives back what a lane took and could not do: it is the oldest again.
  /// - Parameter pauses: clients to be set aside, each for so long.
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

  /// Takes all out that no lane has taken.
  func removeAll() -> [Element] {
    state.withLock { state in
      defer { state.elements = [] }
      return state.elements
    }
  }

  /// How many elements wait for clients that are set aside.
  var countSetAside: Int {
    state.withLock { state in
      state.setAside.isEmpty ? 0 : state.elements.count { state.setAside[client($0)] != nil }
    }
  }

  var isClosed: Bool { state.withLock(\.isClosed) }

  /// No more comes; what is there can still be taken.
  func close() { change { $0.isClosed = true } }

  /// The lane works no more.
  func detach(_ worker: Int) { change { $0.workers[worker] = CommitWorker() } }

  /// The lane counts as idle until it comes back: others take what comes, however little. Its clients are still its
  /// own.
  func markIdle(_ worker: Int) { change { $0.workers[worker].work = nil } }

  /// Waits for a batch; the work on the lane's last one is over. nil once the queue is closed and nothing is left.
  func next(for worker: Int) async -> [Element]? {
    await withCheckedContinuation { continuation in
      // The lane that comes back goes on before others are woken: its connection is warm.
      change { state in
        state.workers[worker] = CommitWorker(waiting: continuation)
      } first: {
        worker
      }
    }
  }

  /// Looks every `timeout` for what a lane that is stuck keeps from the others while nothing else happens, until it is
  /// cancelled.
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
        // What is nothing for one lane is nothing for the next.
        guard let taken = dequeue(for: worker, &state) else { break }
        state.workers[worker].waiting = nil
        woken.append((continuation, taken))
      }
      return woken
    }
    for (continuation, batch) in woken { continuation.resume(returning: batch) }
  }

  /// - Returns: a batch, nil within for the end, nil where the lane has to wait.
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
