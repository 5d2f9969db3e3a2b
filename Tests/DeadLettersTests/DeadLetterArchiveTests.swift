import TestSupport
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import Testing

@testable import DeadLetters

@Suite struct DeadLetterArchiveTests {
  @Test func aDeadLetterIsStoredWholeAndOnce() async throws {
    try await DeadLetterFixture.run { stage in
      var deadLetter = DeadLetter.test(1, body: (0...255).map { UInt8($0) }, orgID: UUID())
      deadLetter.causedBy = UUID()
      deadLetter.attempts = 4
      deadLetter.firstFailedAt = Timestamp(microseconds: 1_000_001)
      #expect(try await stage.archive.store([deadLetter, DeadLetter.test(2)]) == StoredDeadLetters(new: 2))
      // The queue delivers both again; a third one comes with two copies of itself.
      #expect(
        try await stage.archive.store([deadLetter, DeadLetter.test(2), .test(3), .test(3)])
          == StoredDeadLetters(new: 1, known: 3))
      let stored = try await stage.all()
      #expect(stored.count == 3)
      let found = try #require(stored.first { $0.deadLetter.causedBy != nil })
      #expect(found.deadLetter.message.body == deadLetter.message.body)
      #expect(found.state == .new)
      var compared = found.deadLetter
      // jsonb has its own layout.
      compared.message.properties = deadLetter.message.properties
      compared.message.headers = deadLetter.message.headers
      #expect(compared == deadLetter)
    }
  }

  /// An instance that died between the dead letter's confirm and the acknowledgement dead-letters the same message again.
  @Test func theSameMessageDeadLetteredAgainIsTheSameDeadLetter() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store([.test(1, failedAt: 100)])
      #expect(try await stage.archive.store([.test(1, failedAt: 200)]) == StoredDeadLetters(known: 1))
      #expect(try await stage.all().map(\.sameFailures) == [1])
    }
  }

  @Test func whatFailsAgainIsOpenAgainAndCounted() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store([.test(1, failedAt: 100)])
      try await stage.replayAll()
      #expect(try await stage.all().map(\.state) == [.replayed])
      // The old dead letter, delivered once more, changes nothing.
      #expect(try await stage.archive.store([.test(1, failedAt: 100)]) == StoredDeadLetters(known: 1))
      #expect(
        try await stage.archive.store([.test(1, failedAt: 200, replayCount: 1)]) == StoredDeadLetters(reopened: 1))
      var deadLetter = try #require(try await stage.all().first)
      #expect(deadLetter.state == .new)
      #expect(deadLetter.sameFailures == 2)
      #expect(deadLetter.deadLetter.failedAt == Timestamp(seconds: 200))
      #expect(deadLetter.deadLetter.firstFailedAt == Timestamp(seconds: 100))
      #expect(deadLetter.settledAt == nil)
      try await stage.replayAll()
      // Another reason is another story.
      #expect(
        try await stage.archive.store([.test(1, code: "unknown_client", failedAt: 300, replayCount: 2)])
          == StoredDeadLetters(reopened: 1))
      deadLetter = try #require(try await stage.all().first)
      #expect(deadLetter.sameFailures == 1)
      #expect(deadLetter.deadLetter.code == "unknown_client")
      let history = try await stage.repository.history(of: deadLetter.id)
      #expect(history.map(\.action) == ["replayed", "failed_again", "replayed", "failed_again"])
      #expect(history.map(\.actor) == ["ann", "journey serve", "ann", "journey serve"])
    }
  }

  /// Less may be kept of a message than was published (`deadLetters.redactHeaders`, which may change): its fingerprint
  /// is another then.
  @Test func aReplayIsKnownByItsDeadLetterAlsoWhereItLooksDifferent() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store([.test(1)])
      try await stage.replayAll()
      let id = try #require(try await stage.all().first?.id)
      var again = DeadLetter.test(1, failedAt: 200, replayCount: 1, source: "without a credential")
      again.replayOf = id
      #expect(try await stage.archive.store([again]) == StoredDeadLetters(reopened: 1))
      #expect(try await stage.archive.store([again]) == StoredDeadLetters(known: 1))
      #expect(try await stage.all().map(\.state) == [.new])
      #expect(try await stage.repository.history(of: id).map(\.action) == ["replayed", "failed_again"])
      // A dead letter that is gone: the message itself counts.
      var other = DeadLetter.test(2, failedAt: 200, replayCount: 1)
      other.replayOf = UUID()
      #expect(try await stage.archive.store([other]) == StoredDeadLetters(new: 1))
    }
  }

  /// Clocks of two hosts differ, and the broker tells whole seconds: that it came back is known by the replay's count,
  /// whatever time it says.
  @Test(arguments: [100, 99]) func aFailureByASlowClockIsNoCopy(_ failedAt: Int64) async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store([.test(1, failedAt: 100)])
      try await stage.replayAll()
      let again = [DeadLetter.test(1, failedAt: 100), .test(1, failedAt: failedAt, replayCount: 1)]
      #expect(try await stage.archive.store(again) == StoredDeadLetters(reopened: 1, known: 1))
      #expect(try await stage.archive.store(again) == StoredDeadLetters(known: 2))
      #expect(try await stage.all().map(\.state) == [.new])
    }
  }

  /// Between a replay's confirm and its note the message may have come back already.
  @Test func aFailureThatOvertakesTheNoteStaysOpen() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store([.test(1, failedAt: 100)])
      let (id, _) = try await stage.replays.start(stage.request())
      let store = stage.replays.store(id, why: nil)
      let item = try #require(try await store.claimed(after: nil, limit: 10).first)
      // A copy of the first dead-lettering does not open what is being replayed.
      #expect(try await stage.archive.store([.test(1, failedAt: 150, replayCount: 0)]) == StoredDeadLetters(known: 1))
      #expect(
        try await stage.archive.store([.test(1, failedAt: 200, replayCount: item.replayCount)])
          == StoredDeadLetters(reopened: 1))
      try await store.record([(item.deadLetterID, .confirmed)])
      #expect(try await stage.all().map(\.state) == [.new])
      #expect(try await store.claimed(after: nil, limit: 10).isEmpty)
    }
  }

  /// A replay notes outcomes of dead letters that come back at the same time: they wait for each other, never in a circle.
  ///
  /// A third session holds a dead letter until both wait, so that each has locked whatever it locks before that one.
  @Test func aReplayAndTheArchiveDoNotLockEachOtherOut() async throws {
    try await DeadLetterFixture.run { stage in
      let deadLetters = (0..<200).map { DeadLetter.test($0) }
      _ = try await stage.archive.store(deadLetters)
      let (id, _) = try await stage.replays.start(stage.request())
      let store = stage.replays.store(id, why: nil)
      let items = try await store.claimed(after: nil, limit: 1000)
      let outcomes = items.map { ($0.deadLetterID, ReplayOutcome.confirmed) }
      let again = deadLetters.map { deadLetter in
        var deadLetter = deadLetter
        deadLetter.failedAt = Timestamp(seconds: 500)
        deadLetter.replayCount = 1
        return deadLetter
      }
      // Near the beginning: whoever goes by another order than the ids has locked later ones by the time it waits.
      let early = items[5].deadLetterID
      let name = try await stage.worker.rows("SELECT current_database()")[0]
      let address = try await String(TestServers.shared().databaseURL().dropLast("postgres".count) + name)
      try await withDatabase(address, role: "journey_adapter") { other in
        let archive = PostgresDeadLetterArchive(worker: other, clock: DeadLetterClock())
        try await withDatabase(address) { third in
          let (held, hold) = AsyncStream.makeStream(of: Void.self)
          async let released: Void = third.perform { connection in
            try connection.begin()
            try connection.execute("SELECT FROM journey_dead_letters WHERE id = '\(early)' FOR UPDATE")
            hold.finish()
            try Self.awaitTwoWaiting(on: connection)
            try connection.rollback()
          }
          for await _ in held {}
          async let recorded: Void = store.record(outcomes)
          async let stored = archive.store(again)
          try await released
          try await recorded
          let result = try await stored
          #expect(result == StoredDeadLetters(reopened: 200))
        }
      }
      let open = try await stage.all([.new])
      #expect(open.count == 200)
    }
  }

  /// No event tells that a session waits for a lock, so the server is asked, for at most ten seconds.
  private static func awaitTwoWaiting(on connection: PostgresConnection) throws {
    try connection.execute(
      """
      DO $$
      BEGIN
        FOR i IN 1..1000 LOOP
          PERFORM pg_stat_clear_snapshot();
          IF (SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0) >= 2 THEN RETURN; END IF;
          PERFORM pg_sleep(0.01);
        END LOOP;
        RAISE EXCEPTION 'the two never met';
      END
      $$
      """)
  }

  @Test func whatNoTextColumnHoldsIsAPoisonOfItsOwn() async throws {
    try await DeadLetterFixture.run { stage in
      var deadLetter = DeadLetter.test(1)
      deadLetter.reason = "a\u{0}b"
      #expect(await refusal(of: deadLetter, by: stage.archive) == .poison)
      let stored = try await stage.all()
      #expect(stored.isEmpty)
    }
  }

  @Test func nobodyButTheAdapterReadsDeadLetters() async throws {
    try await withDatabase { worker in
      try await worker.migrate()
      for table in ["journey_dead_letters", "journey_dead_letter_replays", "journey_dead_letter_log"] {
        let rights = try await worker.rows(
          """
          SELECT has_table_privilege('authenticated', '\(table)', 'SELECT'), has_table_privilege('journey_adapter', '\(table)', 'SELECT'),
            has_table_privilege('journey_adapter', '\(table)', 'DELETE'), relrowsecurity FROM pg_class WHERE oid = '\(table)'::regclass
          """)
        // The record of what was deleted stays.
        #expect(rights == ["f|t|\(table == "journey_dead_letters" ? "t" : "f")|t"], "\(table)")
      }
      #expect(
        try await worker.rows("SELECT has_table_privilege('journey_adapter', 'journey_dead_letter_log', 'UPDATE')") == [
          "f"
        ])
    }
  }
}
