import TestSupport
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import Testing

@testable import DeadLetters

@Suite struct ReplayRepositoryTests {
  @Test func takesWhatTheFilterMeansAndNothingThatComesLater() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store((0..<5).map { .test($0) } + (5..<8).map { .test($0, code: "other") })
      var filter = DeadLetterFilter()
      filter.states = [.new]
      filter.code = "unknown_type"
      #expect(try await stage.replays.count(stage.request(filter)) == ReplayCount(claimed: 5, held: 0, tooLarge: 0))
      let (id, claimed) = try await stage.replays.start(stage.request(filter))
      #expect(claimed == 5)
      _ = try await stage.archive.store([.test(9)])
      let items = try await stage.replays.store(id, why: nil).claimed(after: nil, limit: 100)
      #expect(items.count == 5)
      #expect(items.allSatisfy { $0.replayCount == 1 && $0.editedID == nil })
      #expect(items.map(\.deadLetterID) == items.map(\.deadLetterID).sorted { $0 < $1 })
      #expect(items[0].message.body.starts(with: Array(#"{"id":"e"#.utf8)))
      // A second replay meanwhile gets the rest.
      #expect(try await stage.replays.start(stage.request()).claimed == 4)
    }
  }

  @Test func outcomesAreRecorded() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store((0..<3).map { .test($0) })
      let (id, _) = try await stage.replays.start(stage.request())
      let store = stage.replays.store(id, why: "because")
      let items = try await store.claimed(after: nil, limit: 10)
      try await store.record([
        (items[0].deadLetterID, .confirmed), (items[1].deadLetterID, .failed("no queue")),
        (items[2].deadLetterID, .unknown("lost")),
      ])
      let states = Dictionary(uniqueKeysWithValues: try await stage.all().map { ($0.id, $0.state) })
      #expect(states[items[0].deadLetterID] == .replayed)
      #expect(states[items[1].deadLetterID] == .new)
      #expect(states[items[2].deadLetterID] == .replaying)
      let history = try await stage.repository.history(of: items[1].deadLetterID)
      #expect(history.map(\.action) == ["replay_failed"])
      #expect(history[0].result == "no queue")
      #expect(history[0].why == "because")
      #expect(history[0].replayID == id)
      #expect(try await stage.repository.history(of: items[0].deadLetterID).map(\.result) == ["confirmed"])
      // What is unknown is left to be published again, and keeps the replay open.
      #expect(try await store.claimed(after: nil, limit: 10).map(\.deadLetterID) == [items[2].deadLetterID])
      try await stage.replays.finish(id)
      #expect(try await stage.replays.open().map(\.remaining) == [1])
      try await store.record([(items[2].deadLetterID, .confirmed)])
      try await stage.replays.finish(id)
      #expect(try await stage.replays.open().isEmpty)
    }
  }

  @Test func theLoopGuardHoldsBackWhatFailsTheSameWayAgainAndAgain() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store([.test(1, failedAt: 100), .test(2, failedAt: 100)])
      for round in 1...2 {
        try await stage.replayAll()
        #expect(
          try await stage.archive.store([.test(1, failedAt: 100 + Int64(round), replayCount: round)])
            == StoredDeadLetters(reopened: 1))
      }
      #expect(try await stage.replays.count(stage.request()) == ReplayCount(claimed: 0, held: 1, tooLarge: 0))
      #expect(try await stage.replays.start(stage.request()).claimed == 0)
      #expect(try await stage.replays.start(stage.request(isForced: true)).claimed == 1)
    }
  }

  @Test func anEditChoosesTheNewIdsOnce() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store([.test(1), .test(2)])
      let (id, _) = try await stage.replays.start(stage.request(edit: #"[{"op":"add","path":"/a","value":1}]"#))
      let store = stage.replays.store(id, why: nil)
      let first = try await store.claimed(after: nil, limit: 10)
      #expect(Set(first.compactMap(\.editedID)).count == 2)
      // A resumed replay sends the same messages.
      #expect(try await stage.replays.store(id, why: nil).claimed(after: nil, limit: 10) == first)
      try await store.record([(first[0].deadLetterID, .confirmed)])
      let history = try await stage.repository.history(of: first[0].deadLetterID)
      #expect(history.map(\.action) == ["edited"])
      #expect(history[0].result?.contains(first[0].editedID!.uuidString.lowercased()) == true)
      // Given back undecided, it keeps its id: what was perhaps published counts once.
      #expect(try await stage.replays.giveBack(id, why: nil) == 1)
      let (next, _) = try await stage.replays.start(stage.request(edit: #"[{"op":"add","path":"/a","value":2}]"#))
      #expect(
        try await stage.replays.store(next, why: nil).claimed(after: nil, limit: 10).map(\.editedID) == [
          first[1].editedID
        ])
    }
  }

  @Test func aReplayBelongsToTheProcessThatRunsIt() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store((0..<4).map { .test($0) })
      let (id, _) = try await stage.replays.start(stage.request())
      let name = try await stage.worker.rows("SELECT current_database()")[0]
      let address = try await TestServers.shared().databaseURL().dropLast("postgres".count) + name
      try await withDatabase(String(address), role: "journey_adapter") { other in
        let replays = ReplayRepository(worker: other, actor: "bob", clock: DeadLetterClock())
        let open = try await replays.open()
        #expect(open.map(\.isUnderWay) == [true])
        #expect(await refusal(of: replays.store(id, why: nil)) == .permanent)
        await #expect(throws: ReplayBusy.self) { _ = try await replays.giveBack(id, why: nil) }
      }
      // The process ends, however it ends: its session is gone, and with it its hold.
      try await stage.worker.run("SELECT pg_advisory_unlock_all()")
      try await withDatabase(String(address), role: "journey_adapter") { other in
        let replays = ReplayRepository(worker: other, actor: "bob", clock: DeadLetterClock())
        let open = try await replays.open()
        #expect(open.map(\.isUnderWay) == [false])
        #expect(open.map(\.remaining) == [4])
        #expect(open.map(\.actor) == ["ann"])
        #expect(try await replays.store(id, why: nil).claimed(after: nil, limit: 10).count == 4)
        #expect(try await replays.giveBack(id, why: "not now") == 4)
        #expect(try await replays.open().isEmpty)
      }
      #expect(try await stage.all([.new]).count == 4)
    }
  }

  /// A replay that an instance of 0.2.0 runs publishes to the events' exchange, where its count is not believed.
  @Test func aFailureWithoutACountReopensADeadLetterThatIsBeingReplayed() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store([.test(1)])
      let (id, _) = try await stage.replays.start(stage.request())
      let store = stage.replays.store(id, why: nil)
      let item = try #require(try await store.claimed(after: nil, limit: 1).first)
      #expect(
        try await stage.archive.store([.test(1)]) == StoredDeadLetters(known: 1),
        "a copy of the failure before the replay")
      let failedAt = Int64(4_000_000_000)
      #expect(
        try await stage.archive.store([.test(1, code: "unknown_client", failedAt: failedAt)])
          == StoredDeadLetters(reopened: 1))
      try await store.record([(item.deadLetterID, .confirmed)])
      #expect(try await stage.all().map(\.state) == [.new], "the note that comes later closes nothing")
      #expect(try await stage.all().map(\.deadLetter.code) == ["unknown_client"])
    }
  }
}
