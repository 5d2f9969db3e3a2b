import TestSupport
import FoundationEssentials
import Journey
import ServiceLifecycleTestKit
import Testing

@testable import DeadLetters

private final class FakeDeadLetterSource: DeadLetterSource {
  struct State: Sendable {
    var arrived: [ReceivedDeadLetter] = []
    var settled: [AckToken] = []
    var isStopped = false
    var isClosed = false
  }

  let state: Watched<State>

  init(_ codes: [String]) {
    state = Watched(
      State(arrived: codes.enumerated().map { ReceivedDeadLetter(token: .test($0), deadLetter: .test($1)) }))
  }

  func nextBatch() async -> [ReceivedDeadLetter]? {
    while true {
      let batch: [ReceivedDeadLetter]? = state.change { state in
        if state.arrived.isEmpty { return state.isStopped ? [] : nil }
        defer { state.arrived = [] }
        return state.arrived
      }
      if let batch { return batch.isEmpty ? nil : batch }
      await Task { try? await state.wait { !$0.arrived.isEmpty || $0.isStopped } }.value
    }
  }

  func settle(_ tokens: [AckToken]) { state.change { $0.settled += tokens } }
  func stop() { state.change { $0.isStopped = true } }
  func close(within deadline: Duration) async { state.change { $0.isClosed = true } }
}

private final class FakeDeadLetterArchive: DeadLetterArchive {
  let stored = Watched<[String]>([])
  let calls = Watched(0)
  private let failure: @Sendable (_ call: Int, _ codes: [String]) -> StoreError?

  init(_ failure: @escaping @Sendable (_ call: Int, _ codes: [String]) -> StoreError? = { _, _ in nil }) {
    self.failure = failure
  }

  func store(_ deadLetters: [DeadLetter]) async throws(StoreError) -> StoredDeadLetters {
    let call = calls.change { calls in
      calls += 1
      return calls
    }
    let codes = deadLetters.map(\.code)
    if let error = failure(call, codes) { throw error }
    stored.change { $0 += codes }
    return StoredDeadLetters(new: deadLetters.count)
  }
}

extension DeadLetter {
  fileprivate static func test(_ code: String) -> DeadLetter {
    // A dead letter's size, for those that are called by a number: 9 is 9 MiB.
    let body = [UInt8](repeating: 0, count: (Int(code) ?? 0) << 20)
    let message = OriginalMessage(
      exchange: "e", routingKey: "k", messageID: nil, contentType: nil, properties: [], headers: [], body: body,
      bodySize: body.count)
    return DeadLetter(
      message: message, orgID: nil, source: nil, type: nil, code: code, reason: code, field: nil, value: nil,
      attempts: 1,
      firstFailedAt: Timestamp(seconds: 0), failedAt: Timestamp(seconds: 0), replayCount: 0, causedBy: nil)
  }
}

@Suite(.timeLimit(.minutes(5))) struct DeadLetterArchiverTests {
  private func archiver(_ source: FakeDeadLetterSource, _ archive: FakeDeadLetterArchive) -> DeadLetterArchiver {
    DeadLetterArchiver(
      source: source, archive: archive, minRetryDelay: .microseconds(100), maxRetryDelay: .milliseconds(1),
      logger: quiet
    )
  }

  /// Runs until `done`, then stops gracefully.
  private func run(
    _ source: FakeDeadLetterSource, _ archive: FakeDeadLetterArchive, until done: @Sendable () async throws -> Void
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
  @Test func largeDeadLettersAreStoredApart() async throws {
    let source = FakeDeadLetterSource(["a", "9", "9", "1", "16", "b", "c"])
    let batches = Watched<[[String]]>([])
    let archive = FakeDeadLetterArchive { _, codes in
      batches.change { $0.append(codes) }
      return nil
    }
    try await run(source, archive) { try await source.state.wait { $0.settled.count == 7 } }
    #expect(batches.now == [["a", "9", "9"], ["1", "16"], ["b", "c"]])
  }

  @Test func deadLettersLeaveTheQueueAfterTheyAreStored() async throws {
    let source = FakeDeadLetterSource(["a", "b", "c"])
    let archive = FakeDeadLetterArchive()
    try await run(source, archive) { try await source.state.wait { $0.settled.count == 3 } }
    #expect(archive.stored.now == ["a", "b", "c"])
    #expect(source.state.now.isClosed)
  }

  @Test func aDatabaseThatIsAwayIsWaitedFor() async throws {
    let source = FakeDeadLetterSource(["a", "b"])
    let archive = FakeDeadLetterArchive { call, _ in call < 5 ? StoreError(.transient, "away") : nil }
    try await run(source, archive) { try await source.state.wait { $0.settled.count == 2 } }
    #expect(archive.calls.now == 5)
    #expect(archive.stored.now == ["a", "b"])
  }

  @Test func aDeadLetterThatTheDatabaseRefusesStaysInTheQueueAlone() async throws {
    let source = FakeDeadLetterSource((0..<16).map { $0 == 11 ? "bad" : "good" })
    let archive = FakeDeadLetterArchive { _, codes in codes.contains("bad") ? StoreError(.poison, "refused") : nil }
    try await run(source, archive) { try await source.state.wait { $0.settled.count == 15 } }
    #expect(archive.stored.now.count == 15)
    #expect(!source.state.now.settled.contains(.test(11)))
    #expect(Set(source.state.now.settled).count == 15)
  }

  @Test func aStopWhileTheDatabaseIsAwaySettlesNothing() async throws {
    let source = FakeDeadLetterSource(["a"])
    let archive = FakeDeadLetterArchive { _, _ in StoreError(.transient, "away") }
    try await run(source, archive) { try await archive.calls.wait { $0 >= 3 } }
    #expect(source.state.now.settled.isEmpty)
    #expect(source.state.now.isClosed)
  }

  @Test func whatNeedsAPersonIsAskedForAgainAndEndsNothing() async throws {
    let source = FakeDeadLetterSource(["a"])
    let archive = FakeDeadLetterArchive { call, _ in call < 4 ? StoreError(.permanent, "no such table") : nil }
    try await run(source, archive) { try await source.state.wait { $0.settled == [.test(0)] } }
    #expect(source.state.now.isClosed)
  }
}
