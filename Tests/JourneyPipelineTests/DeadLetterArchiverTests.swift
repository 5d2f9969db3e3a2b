import FoundationEssentials
import Journey
import JourneyPipeline
import ServiceLifecycleTestKit
import Testing

private final class FakeLetterSource: LetterSource {
  struct State: Sendable {
    var arrived: [ReceivedLetter] = []
    var settled: [Receipt] = []
    var isStopped = false
    var isClosed = false
  }

  let state: Watched<State>

  init(_ codes: [String]) {
    state = Watched(State(arrived: codes.enumerated().map { ReceivedLetter(receipt: .test($0), letter: .test($1)) }))
  }

  func nextBatch() async -> [ReceivedLetter]? {
    while true {
      let batch: [ReceivedLetter]? = state.change { state in
        if state.arrived.isEmpty { return state.isStopped ? [] : nil }
        defer { state.arrived = [] }
        return state.arrived
      }
      if let batch { return batch.isEmpty ? nil : batch }
      await Task { try? await state.wait { !$0.arrived.isEmpty || $0.isStopped } }.value
    }
  }

  func settle(_ receipts: [Receipt]) { state.change { $0.settled += receipts } }
  func stop() { state.change { $0.isStopped = true } }
  func close(within deadline: Duration) async { state.change { $0.isClosed = true } }
}

private final class FakeLetterArchive: LetterArchive {
  let stored = Watched<[String]>([])
  let calls = Watched(0)
  private let failure: @Sendable (_ call: Int, _ codes: [String]) -> LedgerError?

  init(_ failure: @escaping @Sendable (_ call: Int, _ codes: [String]) -> LedgerError? = { _, _ in nil }) {
    self.failure = failure
  }

  func store(_ letters: [Letter]) async throws(LedgerError) -> StoredLetters {
    let call = calls.change { calls in
      calls += 1
      return calls
    }
    let codes = letters.map(\.code)
    if let error = failure(call, codes) { throw error }
    stored.change { $0 += codes }
    return StoredLetters(new: letters.count)
  }
}

extension Letter {
  fileprivate static func test(_ code: String) -> Letter {
    // A letter's size, for those that are called by a number: 9 is 9 MiB.
    let body = [UInt8](repeating: 0, count: (Int(code) ?? 0) << 20)
    let message = OriginalMessage(
      exchange: "e", routingKey: "k", messageID: nil, contentType: nil, properties: [], headers: [], body: body,
      bodySize: body.count)
    return Letter(
      message: message, orgID: nil, source: nil, type: nil, code: code, reason: code, field: nil, value: nil,
      attempts: 1,
      firstFailedAt: Timestamp(seconds: 0), failedAt: Timestamp(seconds: 0), replayCount: 0, causedBy: nil)
  }
}

@Suite(.timeLimit(.minutes(5))) struct DeadLetterArchiverTests {
  private func archiver(_ source: FakeLetterSource, _ archive: FakeLetterArchive) -> DeadLetterArchiver {
    DeadLetterArchiver(
      source: source, archive: archive, shortestRetry: .microseconds(100), longestRetry: .milliseconds(1), logger: quiet
    )
  }

  /// Runs until `done`, then stops gracefully.
  private func run(
    _ source: FakeLetterSource, _ archive: FakeLetterArchive, until done: @Sendable () async throws -> Void
  ) async throws {
    let archiver = archiver(source, archive)
    try await testGracefulShutdown { @Sendable trigger in
      try await whileRunning({ try await archiver.run() }) {
        try await done()
        trigger.triggerGracefulShutdown()
      }
    }
  }

  /// A statement has only so much time: what is large does not take the others' with it.
  @Test func largeLettersAreStoredApart() async throws {
    let source = FakeLetterSource(["a", "9", "9", "1", "16", "b", "c"])
    let batches = Watched<[[String]]>([])
    let archive = FakeLetterArchive { _, codes in
      batches.change { $0.append(codes) }
      return nil
    }
    try await run(source, archive) { try await source.state.wait { $0.settled.count == 7 } }
    #expect(batches.now == [["a", "9", "9"], ["1", "16"], ["b", "c"]])
  }

  @Test func lettersLeaveTheQueueAfterTheyAreStored() async throws {
    let source = FakeLetterSource(["a", "b", "c"])
    let archive = FakeLetterArchive()
    try await run(source, archive) { try await source.state.wait { $0.settled.count == 3 } }
    #expect(archive.stored.now == ["a", "b", "c"])
    #expect(source.state.now.isClosed)
  }

  @Test func aDatabaseThatIsAwayIsWaitedFor() async throws {
    let source = FakeLetterSource(["a", "b"])
    let archive = FakeLetterArchive { call, _ in call < 5 ? LedgerError(.transient, "away") : nil }
    try await run(source, archive) { try await source.state.wait { $0.settled.count == 2 } }
    #expect(archive.calls.now == 5)
    #expect(archive.stored.now == ["a", "b"])
  }

  @Test func aLetterThatTheDatabaseRefusesStaysInTheQueueAlone() async throws {
    let source = FakeLetterSource((0..<16).map { $0 == 11 ? "bad" : "good" })
    let archive = FakeLetterArchive { _, codes in codes.contains("bad") ? LedgerError(.poison, "refused") : nil }
    try await run(source, archive) { try await source.state.wait { $0.settled.count == 15 } }
    #expect(archive.stored.now.count == 15)
    #expect(!source.state.now.settled.contains(.test(11)))
    #expect(Set(source.state.now.settled).count == 15)
  }

  @Test func aStopWhileTheDatabaseIsAwaySettlesNothing() async throws {
    let source = FakeLetterSource(["a"])
    let archive = FakeLetterArchive { _, _ in LedgerError(.transient, "away") }
    try await run(source, archive) { try await archive.calls.wait { $0 >= 3 } }
    #expect(source.state.now.settled.isEmpty)
    #expect(source.state.now.isClosed)
  }

  @Test func whatNeedsAPersonIsAskedForAgainAndEndsNothing() async throws {
    let source = FakeLetterSource(["a"])
    let archive = FakeLetterArchive { call, _ in call < 4 ? LedgerError(.permanent, "no such table") : nil }
    try await run(source, archive) { try await source.state.wait { $0.settled == [.test(0)] } }
    #expect(source.state.now.isClosed)
  }
}
