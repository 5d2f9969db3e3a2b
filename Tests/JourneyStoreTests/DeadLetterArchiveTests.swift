import FoundationEssentials
import Journey
import JourneyPipeline
import JourneyStore
import PostgresClient
import TestServers
import Testing

@Suite struct DeadLetterArchiveTests {
  @Test func aLetterIsStoredWholeAndOnce() async throws {
    try await LetterStage.run { stage in
      var letter = Letter.test(1, body: (0...255).map { UInt8($0) }, orgID: UUID())
      letter.causedBy = UUID()
      letter.attempts = 4
      letter.firstFailedAt = Timestamp(microseconds: 1_000_001)
      #expect(try await stage.archive.store([letter, Letter.test(2)]) == StoredLetters(new: 2))
      // The queue delivers both again; a third one comes with two copies of itself.
      #expect(
        try await stage.archive.store([letter, Letter.test(2), .test(3), .test(3)]) == StoredLetters(new: 1, known: 3))
      let stored = try await stage.all()
      #expect(stored.count == 3)
      let found = try #require(stored.first { $0.letter.causedBy != nil })
      #expect(found.letter.message.body == letter.message.body)
      #expect(found.state == .new)
      var compared = found.letter
      // jsonb has its own layout.
      compared.message.properties = letter.message.properties
      compared.message.headers = letter.message.headers
      #expect(compared == letter)
    }
  }

  /// An instance that died between the letter's confirm and the acknowledgement buries the same message again.
  @Test func aSecondBurialOfAnOpenLetterIsTheSameLetter() async throws {
    try await LetterStage.run { stage in
      _ = try await stage.archive.store([.test(1, failedAt: 100)])
      #expect(try await stage.archive.store([.test(1, failedAt: 200)]) == StoredLetters(known: 1))
      #expect(try await stage.all().map(\.sameFailures) == [1])
    }
  }

  @Test func whatFailsAgainIsOpenAgainAndCounted() async throws {
    try await LetterStage.run { stage in
      _ = try await stage.archive.store([.test(1, failedAt: 100)])
      try await stage.replayAll()
      #expect(try await stage.all().map(\.state) == [.replayed])
      // The old letter, delivered once more, changes nothing.
      #expect(try await stage.archive.store([.test(1, failedAt: 100)]) == StoredLetters(known: 1))
      #expect(try await stage.archive.store([.test(1, failedAt: 200, replayCount: 1)]) == StoredLetters(reopened: 1))
      var letter = try #require(try await stage.all().first)
      #expect(letter.state == .new)
      #expect(letter.sameFailures == 2)
      #expect(letter.letter.failedAt == Timestamp(seconds: 200))
      #expect(letter.letter.firstFailedAt == Timestamp(seconds: 100))
      #expect(letter.settledAt == nil)
      try await stage.replayAll()
      // Another reason is another story.
      #expect(
        try await stage.archive.store([.test(1, code: "unknown_client", failedAt: 300, replayCount: 2)])
          == StoredLetters(reopened: 1))
      letter = try #require(try await stage.all().first)
      #expect(letter.sameFailures == 1)
      #expect(letter.letter.code == "unknown_client")
      let history = try await stage.desk.history(of: letter.id)
      #expect(history.map(\.action) == ["replayed", "failed_again", "replayed", "failed_again"])
      #expect(history.map(\.actor) == ["ann", "journey serve", "ann", "journey serve"])
    }
  }

  /// Less may be kept of a message than was published (`deadLetters.redactHeaders`, which may change): its fingerprint
  /// is another then.
  @Test func aReplayIsKnownByItsLetterAlsoWhereItLooksDifferent() async throws {
    try await LetterStage.run { stage in
      _ = try await stage.archive.store([.test(1)])
      try await stage.replayAll()
      let id = try #require(try await stage.all().first?.id)
      var again = Letter.test(1, failedAt: 200, replayCount: 1, source: "without a credential")
      again.replayOf = id
      #expect(try await stage.archive.store([again]) == StoredLetters(reopened: 1))
      #expect(try await stage.archive.store([again]) == StoredLetters(known: 1))
      #expect(try await stage.all().map(\.state) == [.new])
      #expect(try await stage.desk.history(of: id).map(\.action) == ["replayed", "failed_again"])
      // A letter that is gone: the message itself counts.
      var other = Letter.test(2, failedAt: 200, replayCount: 1)
      other.replayOf = UUID()
      #expect(try await stage.archive.store([other]) == StoredLetters(new: 1))
    }
  }

  /// Clocks of two hosts differ, and the broker tells whole seconds: that it came back is known by the replay's count,
  /// whatever time it says.
  @Test(arguments: [100, 99]) func aFailureByASlowClockIsNoCopy(_ failedAt: Int64) async throws {
    try await LetterStage.run { stage in
      _ = try await stage.archive.store([.test(1, failedAt: 100)])
      try await stage.replayAll()
      let again = [Letter.test(1, failedAt: 100), .test(1, failedAt: failedAt, replayCount: 1)]
      #expect(try await stage.archive.store(again) == StoredLetters(reopened: 1, known: 1))
      #expect(try await stage.archive.store(again) == StoredLetters(known: 2))
      #expect(try await stage.all().map(\.state) == [.new])
    }
  }

  /// Between a replay's confirm and its note the message may have come back already.
  @Test func aFailureThatOvertakesTheNoteStaysOpen() async throws {
    try await LetterStage.run { stage in
      _ = try await stage.archive.store([.test(1, failedAt: 100)])
      let (id, _) = try await stage.replays.start(stage.order())
      let ledger = stage.replays.ledger(id, why: nil)
      let item = try #require(try await ledger.taken(after: nil, limit: 10).first)
      // A copy of the first burial does not open what is being replayed.
      #expect(try await stage.archive.store([.test(1, failedAt: 150, replayCount: 0)]) == StoredLetters(known: 1))
      #expect(
        try await stage.archive.store([.test(1, failedAt: 200, replayCount: item.replayCount)])
          == StoredLetters(reopened: 1))
      try await ledger.note([(item.letterID, .confirmed)])
      #expect(try await stage.all().map(\.state) == [.new])
      #expect(try await ledger.taken(after: nil, limit: 10).isEmpty)
    }
  }

  /// A replay notes outcomes of letters that come back at the same time: they wait for each other, never in a circle.
  ///
  /// A third session holds a letter until both wait, so that each has locked whatever it locks before that one.
  @Test func aReplayAndTheArchiveDoNotLockEachOtherOut() async throws {
    try await LetterStage.run { stage in
      let letters = (0..<200).map { Letter.test($0) }
      _ = try await stage.archive.store(letters)
      let (id, _) = try await stage.replays.start(stage.order())
      let ledger = stage.replays.ledger(id, why: nil)
      let items = try await ledger.taken(after: nil, limit: 1000)
      let outcomes = items.map { ($0.letterID, ReplayOutcome.confirmed) }
      let again = letters.map { letter in
        var letter = letter
        letter.failedAt = Timestamp(seconds: 500)
        letter.replayCount = 1
        return letter
      }
      // Near the beginning: whoever goes by another order than the ids has locked later ones by the time it waits.
      let early = items[5].letterID
      let name = try await stage.worker.rows("SELECT current_database()")[0]
      let address = try await String(TestServers.shared().databaseURL().dropLast("postgres".count) + name)
      try await withDatabase(address, role: "journey_adapter") { other in
        let archive = DeadLetterArchive(worker: other, clock: LetterClock())
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
          async let noted: Void = ledger.note(outcomes)
          async let stored = archive.store(again)
          try await released
          try await noted
          let result = try await stored
          #expect(result == StoredLetters(reopened: 200))
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
    try await LetterStage.run { stage in
      var letter = Letter.test(1)
      letter.reason = "a\u{0}b"
      #expect(await refusal(of: letter, by: stage.archive) == .poison)
      let stored = try await stage.all()
      #expect(stored.isEmpty)
    }
  }

  @Test func nobodyButTheAdapterReadsLetters() async throws {
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
