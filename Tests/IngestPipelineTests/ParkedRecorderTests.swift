import FoundationEssentials
import IngestPipeline
import Journey
import Logging
import TestSupport
import Testing

/// Messages are recorded before they are parked, and parked whether or not the store answers.
@Suite(.timeLimit(.minutes(2))) struct ParkedRecorderTests {
  private final class Store: ParkedMessageStore {
    struct State {
      var stored: [ParkedMessage] = []
      var attempts = 0
      var error: StoreError?
    }
    let state = Watched(State())
    /// Whether attempts need not wait.
    let gate: Watched<Bool>

    init(gate: Watched<Bool> = Watched(true), error: StoreError? = nil) {
      self.gate = gate
      state.change { $0.error = error }
    }

    func store(_ messages: [ParkedMessage]) async throws(StoreError) {
      state.change { $0.attempts += 1 }
      try? await gate.wait { $0 }
      let error = state.change { state in
        if state.error == nil { state.stored += messages }
        return state.error
      }
      if let error { throw error }
    }

    func forget(limit: Int) async throws(StoreError) -> Int { 0 }
  }

  private static func message(_ id: String) -> ParkedMessage {
    let now = Timestamp(seconds: 0)
    return ParkedMessage(
      id: UUID(), orgID: nil, source: "s", messageID: id, eventIDs: [], code: nil, tier: "10s", attempt: 0,
      receivedAt: nil, parkedAt: now, returnsAt: now)
  }

  private func recorder(_ store: Store, timeout: Duration = .seconds(60), interval: Duration = .milliseconds(1))
    -> ParkedRecorder
  {
    ParkedRecorder(
      store: store, timeout: timeout, interval: interval,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  @Test func aMessageIsRecordedWhenTheCallReturns() async {
    let store = Store()
    let recorder = recorder(store)
    await withTaskGroup { group in
      for number in 0..<100 {
        group.addTask {
          await recorder.record([Self.message("\(number)")])
          #expect(store.state.now.stored.contains { $0.messageID == "\(number)" })
        }
      }
    }
    #expect(store.state.now.stored.count == 100)
  }

  @Test func whatComesWhileTheStoreIsBusyIsOneBatch() async throws {
    let gate = Watched(false)
    let store = Store(gate: gate)
    let recorder = recorder(store)
    try await withThrowingTaskGroup { group in
      group.addTask { await recorder.record([Self.message("first")]) }
      try await store.state.wait { $0.attempts == 1 }
      for number in 0..<50 { group.addTask { await recorder.record([Self.message("\(number)")]) } }
      while recorder.pending < 50 { await Task.yield() }
      gate.change { $0 = true }
      try await group.waitForAll()
    }
    #expect(store.state.now.stored.count == 51 && store.state.now.attempts == 2)
  }

  @Test func aStoreThatDoesNotAnswerHoldsNothingUp() async throws {
    let gate = Watched(false)
    let store = Store(gate: gate)
    let recorder = recorder(store, timeout: .milliseconds(5))
    await recorder.record([Self.message("a")])
    // From now on nobody waits: with this timeout the test would not end in time.
    for number in 0..<30_000 { await recorder.record([Self.message("\(number)")]) }
    #expect(store.state.now.stored.isEmpty && store.state.now.attempts == 1)
    gate.change { $0 = true }
    try await store.state.wait { $0.stored.count > 1 }
    #expect(store.state.now.stored.count == 20_001, "what waits is bounded")
  }

  @Test func whatFailsIsRecordedLater() async throws {
    let store = Store(error: StoreError(.transient, "away"))
    let recorder = recorder(store)
    let first = Self.message("a")
    await recorder.record([first])
    // Of the same message only the last time is recorded.
    for _ in 0..<3 { await recorder.record([first, Self.message("b")]) }
    #expect(store.state.now.stored.isEmpty && store.state.now.attempts == 1)
    let run = Task { try await recorder.run() }
    try await store.state.wait { $0.attempts > 2 }
    store.state.change { $0.error = nil }
    try await store.state.wait { $0.stored.count == 4 }
    #expect(store.state.now.stored.compactMap(\.messageID).sorted() == ["a", "b", "b", "b"])
    await recorder.record([Self.message("c")])
    try await store.state.wait { $0.stored.count == 5 }
    run.cancel()
    try await run.value
  }
}
