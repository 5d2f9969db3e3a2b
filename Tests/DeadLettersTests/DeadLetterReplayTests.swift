import TestSupport
import Journey
import FoundationEssentials
import Testing

@testable import DeadLetters

/// The dead letters of one replay in memory.
private final class FakeReplayStore: ReplayStore {
  struct State: Sendable {
    var claimed: [UUID]
    var confirmed: [UUID] = []
    var failed: [UUID] = []
    /// Counts down; from 0 on the call throws.
    var noteFailsIn: Int?
    var failures = 0
    var failure = StoreError.Kind.permanent
  }

  let state: Watched<State>

  init(_ deadLetters: [UUID], noteFailsIn: Int? = nil) {
    state = Watched(State(claimed: deadLetters, noteFailsIn: noteFailsIn))
  }

  func claimed(after deadLetter: UUID?, limit: Int) async throws(StoreError) -> [ReplayItem] {
    try refuseCancelled()
    return state.change { state in
      state.claimed.sorted { $0 < $1 }.filter { id in deadLetter.map { $0 < id } ?? true }.prefix(limit).map(
        ReplayItem.test)
    }
  }

  /// A database's adapter does not begin work for a task that is cancelled.
  private func refuseCancelled() throws(StoreError) {
    if Task.isCancelled { throw StoreError(.permanent, "cancelled") }
  }

  func record(_ outcomes: [(UUID, ReplayOutcome)]) async throws(StoreError) {
    try refuseCancelled()
    let failure: StoreError? = state.change { state in
      if let left = state.noteFailsIn {
        state.noteFailsIn = left - 1
        if left <= 0 {
          state.failures += 1
          return StoreError(state.failure, "away")
        }
      }
      for (id, outcome) in outcomes {
        switch outcome {
        case .confirmed: state.confirmed.append(id)
        case .failed: state.failed.append(id)
        case .unknown: continue
        }
        state.claimed.removeAll { $0 == id }
      }
      return nil
    }
    if let failure { throw failure }
  }
}

private final class FakeDeadLetterPublisher: DeadLetterPublisher {
  let published = Watched<[UUID]>([])
  private let outcome: @Sendable (UUID, _ attempt: Int) -> ReplayOutcome

  init(_ outcome: @escaping @Sendable (UUID, _ attempt: Int) -> ReplayOutcome = { _, _ in .confirmed }) {
    self.outcome = outcome
  }

  func publish(_ items: [ReplayItem]) async -> [ReplayOutcome] {
    published.change { published in
      items.map { item in
        published.append(item.deadLetterID)
        return outcome(item.deadLetterID, published.count { $0 == item.deadLetterID })
      }
    }
  }
}

extension ReplayItem {
  fileprivate static func test(_ id: UUID) -> ReplayItem {
    let message = OriginalMessage(
      exchange: "e", routingKey: "k", messageID: nil, contentType: nil, properties: [], headers: [], body: [],
      bodySize: 0)
    return ReplayItem(deadLetterID: id, message: message, replayCount: 1, editedID: nil, causedBy: nil)
  }
}

@Suite(.timeLimit(.minutes(5))) struct DeadLetterReplayTests {
  private let deadLetters = (0..<250).map { _ in UUID() }

  @Test func everyDeadLetterIsPublishedOnceAndRecorded() async throws {
    let store = FakeReplayStore(deadLetters)
    let publisher = FakeDeadLetterPublisher()
    let seen = Watched<[Int]>([])
    let progress = try await DeadLetterReplay(store: store, publisher: publisher, rate: nil).run { progress in
      seen.change { $0.append(progress.done) }
    }
    #expect(progress.isComplete)
    #expect(progress.confirmed == 250)
    #expect(publisher.published.now.sorted { $0 < $1 } == deadLetters.sorted { $0 < $1 })
    #expect(store.state.now.claimed.isEmpty)
    #expect(seen.now == [100, 200, 250])
  }

  @Test func refusedDeadLettersAreCountedAndTheOthersGoOn() async throws {
    let bad = Set(deadLetters.prefix(7))
    let store = FakeReplayStore(deadLetters)
    let progress = try await DeadLetterReplay(
      store: store, publisher: FakeDeadLetterPublisher { id, _ in bad.contains(id) ? .failed("no queue") : .confirmed },
      rate: nil
    )
    .run { _ in }
    #expect(progress.isComplete)
    #expect(progress.failed == 7)
    #expect(progress.lastFailure == "no queue")
    #expect(Set(store.state.now.failed) == bad)
    #expect(progress.confirmed == 243)
  }

  @Test func unknownOutcomesArePublishedAgainByTheSameReplay() async throws {
    let unsure = deadLetters[3]
    let publisher = FakeDeadLetterPublisher { id, attempt in id == unsure && attempt < 3 ? .unknown("lost") : .confirmed
    }
    let progress = try await DeadLetterReplay(store: FakeReplayStore(deadLetters), publisher: publisher, rate: nil).run
    { _ in
    }
    #expect(progress.isComplete)
    #expect(progress.confirmed == 250)
    #expect(publisher.published.now.count { $0 == unsure } == 3)
    #expect(publisher.published.now.count == 252)
  }

  @Test func whatStaysUnknownStaysTaken() async throws {
    let unsure = deadLetters[3]
    let store = FakeReplayStore(deadLetters)
    let progress = try await DeadLetterReplay(
      store: store, publisher: FakeDeadLetterPublisher { id, _ in id == unsure ? .unknown("lost") : .confirmed },
      rate: nil, maxPasses: 2
    ).run { _ in }
    #expect(!progress.isComplete)
    #expect(progress.unknown == 1)
    #expect(store.state.now.claimed == [unsure])
  }

  /// A crash between the confirm and the note, then a resumed replay: nothing is lost, and only the batch under way is
  /// published twice.
  @Test func aReplayThatIsCutOffIsFinishedByTheNext() async throws {
    let store = FakeReplayStore(deadLetters, noteFailsIn: 1)
    let publisher = FakeDeadLetterPublisher()
    await #expect(throws: StoreError.self) {
      try await DeadLetterReplay(store: store, publisher: publisher, rate: nil).run { _ in }
    }
    store.state.change { $0.noteFailsIn = nil }
    #expect(store.state.now.confirmed.count == 100)
    let progress = try await DeadLetterReplay(store: store, publisher: publisher, rate: nil).run { _ in }
    #expect(progress.isComplete)
    #expect(Set(store.state.now.confirmed) == Set(deadLetters))
    #expect(store.state.now.confirmed.count == 250)
    #expect(publisher.published.now.count == 350)
  }

  @Test func aMomentWithoutTheStoreIsWaitedOut() async throws {
    let store = FakeReplayStore(deadLetters, noteFailsIn: 1)
    store.state.change { $0.failure = .transient }
    let publisher = FakeDeadLetterPublisher()
    let run = Task {
      try await DeadLetterReplay(store: store, publisher: publisher, rate: nil, minRetryDelay: .microseconds(100)).run {
        _ in
      }
    }
    try await store.state.wait { $0.failures == 3 }
    store.state.change { $0.noteFailsIn = nil }
    #expect(try await run.value.isComplete)
    #expect(publisher.published.now.count == 250)
    #expect(store.state.now.confirmed.count == 250)
  }

  @Test func aCancelledReplayRecordsWhatIsPublished() async throws {
    let store = FakeReplayStore(deadLetters)
    let publisher = FakeDeadLetterPublisher()
    let run = Watched<Task<DeadLetterReplay.Progress, any Error>?>(nil)
    let task = Task {
      try await run.wait { $0 != nil }
      return try await DeadLetterReplay(store: store, publisher: publisher, rate: nil).run { _ in run.now?.cancel() }
    }
    run.change { $0 = task }
    let progress = try await task.value
    #expect(!progress.isComplete)
    #expect(progress.confirmed == 100)
    #expect(store.state.now.confirmed.count == 100)
    #expect(store.state.now.claimed.count == 150)
  }

  @Test func theRateIsHeld() async throws {
    let store = FakeReplayStore(deadLetters)
    let clock = ContinuousClock()
    let start = clock.now
    let progress = try await DeadLetterReplay(store: store, publisher: FakeDeadLetterPublisher(), rate: 1000).run { _ in
    }
    #expect(progress.confirmed == 250)
    // The first token is there at once; 249 more take 249 ms.
    #expect(start.duration(to: clock.now) >= .milliseconds(245))
  }
}

@Suite struct TokenBucketTests {
  @Test func givesOutNoMoreThanTheRateOverAnyTime() {
    var bucket = TokenBucket(rate: 500, now: .zero)
    var claimed = 0
    for millisecond in 0...2000 { claimed += bucket.take(1000, now: .milliseconds(millisecond)) }
    // One at the start, then 500 a second for two seconds.
    #expect((1000...1001).contains(claimed))
  }

  @Test func idleTimeIsNotSavedUpBeyondTheBurst() {
    var bucket = TokenBucket(rate: 500, now: .zero)
    #expect(bucket.take(1000, now: .seconds(3600)) == 50)
    var wide = TokenBucket(rate: 500, burst: 200, now: .zero)
    #expect(wide.take(1000, now: .seconds(3600)) == 200)
  }

  @Test func saysHowLongToWait() {
    var bucket = TokenBucket(rate: 2, now: .zero)
    #expect(bucket.wait(for: 1, now: .zero) == .zero)
    #expect(bucket.take(1, now: .zero) == 1)
    #expect(bucket.wait(for: 1, now: .zero) == .milliseconds(500))
    #expect(bucket.take(1, now: .milliseconds(499)) == 0)
    #expect(bucket.take(1, now: .milliseconds(500)) == 1)
  }

  @Test func aClockThatStandsStillOrTurnsBackGivesNothing() {
    var bucket = TokenBucket(rate: 10, now: .seconds(5))
    #expect(bucket.take(5, now: .seconds(5)) == 1)
    #expect(bucket.take(5, now: .seconds(1)) == 0)
    #expect(bucket.take(5, now: .seconds(5)) == 0)
  }
}
