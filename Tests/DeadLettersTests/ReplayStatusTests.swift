import Testing

@testable import DeadLetters

/// What a replay reports about its dead letters.
@Suite struct ReplayStatusTests {
  private func replay(confirmed: Int) -> ReplayStatus {
    var replay = ReplayStatus(id: 1, claimed: confirmed, skipped: 0)
    replay.progress.confirmed = confirmed
    replay.isRunning = false
    return replay
  }

  private func says(_ replay: ReplayStatus) -> [Int] { [replay.passed, replay.failedAgain, replay.waiting] }

  @Test func confirmedIsNotPassed() {
    var replay = replay(confirmed: 9)
    #expect(says(replay) == [0, 0, 9])
    let start = ContinuousClock.now
    // All messages are published and the queue is empty, but consumed ones may still be in progress.
    replay.update(from: QueueDepths(), back: 6, hasEnded: true, now: start)
    #expect(says(replay) == [0, 6, 3])
    replay.update(from: QueueDepths(), back: 7, hasEnded: true, now: start + .seconds(4))
    #expect(says(replay) == [2, 7, 0])
    // Messages that return later have not passed either.
    replay.update(from: QueueDepths(), back: 9, hasEnded: true, now: start + .seconds(90))
    #expect(says(replay) == [0, 9, 0])
  }

  @Test func nothingPassesWhileQueuesAreFull() {
    var replay = replay(confirmed: 5)
    let start = ContinuousClock.now
    for second in 0..<20 {
      replay.update(from: QueueDepths(ingest: 3), back: 0, hasEnded: true, now: start + .seconds(second))
      #expect(says(replay) == [0, 0, 5])
    }
    // Dead letters that are not archived yet may belong to this replay.
    for second in 20..<40 {
      replay.update(from: QueueDepths(dead: 2), back: 0, hasEnded: true, now: start + .seconds(second))
      #expect(says(replay) == [0, 0, 5])
    }
    replay.update(from: QueueDepths(retries: 2), back: 0, hasEnded: true, now: start + .seconds(41))
    #expect(says(replay) == [3, 0, 2])
    // Other messages' retries never end, but those of this replay do.
    replay.update(from: QueueDepths(retries: 2), back: 1, hasEnded: true, now: start + .seconds(3 * 3600))
    #expect(says(replay) == [4, 1, 0])
  }

  @Test func nothingPassesWhileDeadLettersArePublished() {
    var replay = replay(confirmed: 5)
    let start = ContinuousClock.now
    for second in 0..<20 { replay.update(from: QueueDepths(), back: 1, hasEnded: false, now: start + .seconds(second)) }
    #expect(says(replay) == [0, 1, 4])
  }
}
