import TestSupport
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import Testing

@testable import DeadLetters

/// Every dead letter that went out has its row in the record, once, whoever finds out that it did.
@Suite struct DeadLetterRecordTests {
  private func actions(_ stage: DeadLetterFixture, of deadLetter: UUID) async throws -> [String] {
    try await stage.repository.history(of: deadLetter).map {
      "\($0.action) by \($0.actor)" + ($0.result.map { ": \($0)" } ?? "")
    }
  }

  /// Takes what is open, and publishes it as a process that is killed before it notes anything.
  private func killedAfterPublishing(_ stage: DeadLetterFixture, limit: Int = 100, edit: String? = nil) async throws
    -> (
      id: Int, items: [ReplayItem]
    )
  {
    let (id, _) = try await stage.replays.start(stage.request(edit: edit))
    let items = try await stage.replays.store(id, why: nil).claimed(after: nil, limit: limit)
    try await stage.worker.run("SELECT pg_advisory_unlock_all()")
    return (id, items)
  }

  @Test(arguments: ["resumed", "given back"]) func aDeadLetterThatComesBackBeforeItWasRecorded(_ then: String)
    async throws
  {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store([.test(1), .test(2)])
      let (id, items) = try await killedAfterPublishing(stage)
      // One has come back already when an operator looks after the replay, the other one was applied.
      #expect(
        try await stage.archive.store([.test(1, failedAt: 200, replayCount: 1)]) == StoredDeadLetters(reopened: 1))
      let back = try #require(try await stage.all([.new]).first).id
      let applied = try #require(items.first { $0.deadLetterID != back }).deadLetterID
      if then == "resumed" {
        let store = stage.replays.store(id, why: nil)
        let left = try await store.claimed(after: nil, limit: 100)
        #expect(left.map(\.deadLetterID) == [applied])
        try await store.record([(applied, .confirmed)])
        #expect(try await actions(stage, of: applied) == ["replayed by ann: confirmed"])
      } else {
        #expect(try await stage.replays.giveBack(id, why: nil) == 1)
        #expect(try await actions(stage, of: applied) == ["given_back by ann: it may have been published"])
      }
      #expect(
        try await actions(stage, of: back) == [
          "replayed by ann: confirmed", "failed_again by journey serve: unknown_type",
        ])
      #expect(try await stage.repository.history(of: back).map(\.why) == ["because", nil])
      #expect(try await stage.repository.history(of: back).map(\.replayID) == [id, id])
    }
  }

  @Test func aDeadLetterThatComesBackAfterItWasGivenBack() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store([.test(1)])
      let (id, items) = try await killedAfterPublishing(stage)
      #expect(try await stage.replays.giveBack(id, why: nil) == 1)
      let again = DeadLetter.test(1, code: "unknown_client", failedAt: 200, replayCount: 1)
      #expect(try await stage.archive.store([again]) == StoredDeadLetters(reopened: 1))
      // A copy of that failure is none.
      #expect(try await stage.archive.store([again]) == StoredDeadLetters(known: 1))
      #expect(
        try await actions(stage, of: items[0].deadLetterID) == [
          "given_back by ann: it may have been published", "replayed by ann: confirmed",
          "failed_again by journey serve: unknown_client",
        ])
      let deadLetter = try #require(try await stage.all().first)
      #expect(deadLetter.state == .new)
      #expect(deadLetter.deadLetter.code == "unknown_client")
    }
  }

  @Test func aDeadLetterThatComesBackWhenAnotherReplayHasTakenIt() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store([.test(1)])
      let (first, items) = try await killedAfterPublishing(stage)
      #expect(try await stage.replays.giveBack(first, why: nil) == 1)
      let (second, _) = try await killedAfterPublishing(stage)
      // The first publication fails: the dead letter stays with the second replay, which has to publish it.
      #expect(try await stage.archive.store([.test(1, failedAt: 200, replayCount: 1)]) == StoredDeadLetters(known: 1))
      #expect(try await stage.all().map(\.state) == [.replaying])
      try await stage.replays.store(second, why: nil).record([(items[0].deadLetterID, .confirmed)])
      let history = try await stage.repository.history(of: items[0].deadLetterID)
      #expect(history.map(\.action) == ["given_back", "replayed", "replayed"])
      #expect(history.map(\.replayID) == [first, first, second])
    }
  }

  @Test(arguments: ["recorded later", "given back"]) func anEditedDeadLetterWhoseMessageComesBack(_ then: String)
    async throws
  {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store([.test(1)])
      let (id, items) = try await killedAfterPublishing(stage, edit: #"[{"op":"add","path":"/a","value":1}]"#)
      let edited = try #require(items[0].editedID).uuidString.lowercased()
      var child = DeadLetter.test(2, failedAt: 200, replayCount: 1)
      child.message.messageID = edited
      child.causedBy = items[0].deadLetterID
      #expect(try await stage.archive.store([child]) == StoredDeadLetters(new: 1))
      #expect(try await stage.archive.store([child]) == StoredDeadLetters(known: 1))
      if then == "recorded later" {
        try await stage.replays.store(id, why: nil).record([(items[0].deadLetterID, .confirmed)])
        #expect(try await stage.all([.replayed]).map(\.id) == [items[0].deadLetterID])
        #expect(try await actions(stage, of: items[0].deadLetterID) == ["edited by ann: confirmed as \(edited)"])
      } else {
        #expect(try await stage.replays.giveBack(id, why: nil) == 1)
        #expect(
          try await actions(stage, of: items[0].deadLetterID) == [
            "edited by ann: confirmed as \(edited)", "given_back by ann: it may have been published",
          ])
      }
    }
  }

  /// The replay lives, and the message is back before its outcome is recorded; then the answer to that is lost, and it is
  /// recorded again.
  @Test func aRowIsWrittenOnce() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store([.test(1), .test(2), .test(3)])
      let (id, items) = try await killedAfterPublishing(stage)
      #expect(
        try await stage.archive.store([.test(1, failedAt: 200, replayCount: 1)]) == StoredDeadLetters(reopened: 1))
      let back = try #require(try await stage.all([.new]).first).id
      let others = items.map(\.deadLetterID).filter { $0 != back }
      let store = stage.replays.store(id, why: nil)
      for _ in 1...2 {
        try await store.record([(back, .confirmed), (others[0], .confirmed), (others[1], .failed("no queue"))])
      }
      #expect(
        try await actions(stage, of: back) == [
          "replayed by ann: confirmed", "failed_again by journey serve: unknown_type",
        ])
      #expect(try await actions(stage, of: others[0]) == ["replayed by ann: confirmed"])
      #expect(try await actions(stage, of: others[1]) == ["replay_failed by ann: no queue"])
    }
  }

  @Test func whatWasNotPublishedIsGivenBackWithoutDoubt() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store((0..<5).map { .test($0) })
      let (id, items) = try await killedAfterPublishing(stage, limit: 2)
      #expect(try await stage.replays.giveBack(id, why: nil) == 5)
      for deadLetter in try await stage.all() {
        let doubt = items.contains { $0.deadLetterID == deadLetter.id } ? "it may have been published" : nil
        #expect(try await stage.repository.history(of: deadLetter.id).map(\.result) == [doubt])
      }
    }
  }
}
