import TestSupport
import Journey

/// A queue in memory. It delivers what is sent, until it is stopped.
final class FakeSource: EventSource {
  struct State: Sendable {
    var arrived: [InboundMessage] = []
    var handedOut: [AckToken] = []
    var settled: [AckToken: [MessageOutcome.Kind]] = [:]
    var settlements = 0
    var isStopped = false
    var isPaused = false
    var limits: [UInt16?] = []
    var isClosed = false
    var lostGeneration: UInt64 = 0

    func count(_ matches: (MessageOutcome.Kind) -> Bool) -> Int {
      settled.values.reduce(0) { $0 + $1.count(where: matches) }
    }
    var applied: Int { count { if case .applied = $0 { true } else { false } } }
    var released: Int { count { if case .released = $0 { true } else { false } } }
    var postponed: Int { count { if case .postponed = $0 { true } else { false } } }
    var rejected: Int { count { if case .rejected = $0 { true } else { false } } }
    /// Whether each message that was delivered is settled, and none twice.
    var isEachSettledOnce: Bool {
      settled.count == handedOut.count && handedOut.allSatisfy { settled[$0]?.count == 1 }
    }
    func rejections(of token: AckToken) -> [String]? {
      guard case .rejected(let reasons)? = settled[token]?.first else { return nil }
      return reasons.map(\.message)
    }
  }

  let state: Watched<State>
  private let batchSize: Int
  /// Makes the delivery of a number, counted from 0, until it makes none.
  private let supply: (@Sendable (Int) -> InboundMessage?)?

  init(_ deliveries: [InboundMessage] = [], batchSize: Int = 100, supply: (@Sendable (Int) -> InboundMessage?)? = nil) {
    state = Watched(State(arrived: deliveries))
    self.batchSize = batchSize
    self.supply = supply
  }

  var now: State { state.now }

  func send(_ deliveries: [InboundMessage]) { state.change { $0.arrived.append(contentsOf: deliveries) } }

  /// Connections up to this one are lost.
  var lostGeneration: UInt64 { state.now.lostGeneration }
  var leftBehind: Int { 0 }

  func receive(_ onMessages: @escaping @Sendable ([InboundMessage]) -> Void) async {
    while true {
      let batch: [InboundMessage]? = state.change { state in
        if state.arrived.isEmpty, let supply, !state.isStopped {
          while state.arrived.count < batchSize, let next = supply(state.handedOut.count + state.arrived.count) {
            state.arrived.append(next)
          }
        }
        if state.isPaused { return state.isStopped ? [] : nil }
        guard !state.arrived.isEmpty else { return state.isStopped ? [] : nil }
        let batch = Array(state.arrived.prefix(batchSize))
        state.arrived.removeFirst(batch.count)
        state.handedOut.append(contentsOf: batch.map(\.token))
        return batch
      }
      if let batch {
        // A source that never waits would else let no other task have its thread.
        await Task.yield()
        if batch.isEmpty { return }
        onMessages(batch)
        continue
      }
      // Waits as a real queue does: only `stop` ends it, never the task's cancellation.
      await Task { try? await state.wait { !$0.arrived.isEmpty && !$0.isPaused || $0.isStopped } }.value
    }
  }

  func settle(_ outcomes: [MessageOutcome]) {
    state.change { state in
      state.settlements += outcomes.count
      for outcome in outcomes { state.settled[outcome.message.token, default: []].append(outcome.kind) }
    }
  }

  func pause() { state.change { $0.isPaused = true } }

  func resume(limit: UInt16?) {
    state.change { state in
      state.isPaused = false
      state.limits.append(limit)
    }
  }

  func stop() { state.change { $0.isStopped = true } }

  func close(within deadline: Duration) async { state.change { $0.isClosed = true } }
}
