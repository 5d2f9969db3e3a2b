@testable import PostgresClient
import Synchronization
import Testing

@Suite struct PipelineTests {
  private static let insert = PostgresStatement(name: "insert", "INSERT INTO numbers VALUES ($1)")
  private static let count = "SELECT count(*) FROM numbers"

  private func number(_ value: Int32) -> (PostgresStatement, PostgresParameters) {
    (Self.insert, PostgresParameters { $0.int4(value) })
  }

  private func withNumbers(_ body: (PostgresConnection) throws -> Void) async throws {
    try await withConnection { connection in
      try connection.execute("CREATE TABLE numbers (n int PRIMARY KEY, CONSTRAINT numbers_small CHECK (n < 100))")
      try body(connection)
    }
  }

  @Test func answersComeInOrder() async throws {
    try await withNumbers { connection in
      let sum = PostgresStatement(name: "sum", "SELECT sum(n) FROM numbers")
      let results = try connection.pipeline([number(1), (sum, .init()), number(2), (sum, .init())])
      #expect(results.map(\.commandTag) == ["INSERT 0 1", "SELECT 1", "INSERT 0 1", "SELECT 1"])
      #expect(try results[1].int64(0, 0) == 1)
      #expect(try results[3].int64(0, 0) == 3)
      #expect(try connection.pipeline([]).isEmpty)
    }
  }

  @Test func errorInTheMiddleUndoesAllAndLeavesTheConnectionUsable() async throws {
    try await withNumbers { connection in
      let other = PostgresStatement(name: "other", "INSERT INTO numbers VALUES ($1 + 1)")
      let error = try failure {
        try connection.pipeline([number(1), number(100), (other, PostgresParameters { $0.int4(2) })])
      }
      #expect(error.sqlState == "23514")
      #expect(error.operation == "insert")
      #expect(error.constraint == "numbers_small")
      #expect(error.table == "numbers")
      #expect(connection.isUsable)
      #expect(!connection.isInTransaction)
      #expect(try connection.number(Self.count) == 0)
      // The statement that was skipped was not prepared either, and is now.
      #expect(try connection.pipeline([number(1), (other, PostgresParameters { $0.int4(2) })]).count == 2)
    }
  }

  @Test func transactionSpansPipelinesWithoutRoundTripsOfItsOwn() async throws {
    try await withNumbers { connection in
      _ = try connection.pipeline([(.begin, .init()), number(1)])
      #expect(connection.isInTransaction)
      let results = try connection.pipeline([number(2), (.commit, .init())])
      #expect(results.last?.commandTag == "COMMIT")
      #expect(!connection.isInTransaction)
      #expect(try connection.number(Self.count) == 2)
    }
  }

  @Test func failedPipelineWithCommitLeavesNoOpenTransaction() async throws {
    try await withNumbers { connection in
      _ = try connection.pipeline([(.begin, .init()), number(1)])
      let error = try failure { try connection.pipeline([number(1), (.commit, .init())]) }
      #expect(error.sqlState == "23505")
      #expect(!connection.isInTransaction)
      #expect(try connection.number(Self.count) == 0)
    }
  }

  @Test func commitOfAFailedTransactionIsNotASuccess() async throws {
    try await withNumbers { connection in
      try connection.begin()
      _ = try failure { try connection.execute("SELECT 1/0") }
      let error = try failure { try connection.commit() }
      #expect(error.message.contains("ROLLBACK"))
      #expect(error.isRetriable)
      // The same through a pipeline.
      try connection.begin()
      _ = try failure { try connection.execute("SELECT 1/0") }
      let second = try failure { try connection.pipeline([(.commit, .init())]) }
      #expect(second.operation == "COMMIT")
      #expect(!connection.isInTransaction)
    }
  }

  @Test func deferredConstraintFailsAtCommit() async throws {
    try await withNumbers { connection in
      try connection.execute("CREATE TABLE later (n int REFERENCES numbers DEFERRABLE INITIALLY DEFERRED)")
      let insert = PostgresStatement(name: "later", "INSERT INTO later VALUES ($1)")
      let error = try failure {
        try connection.pipeline([(.begin, .init()), (insert, PostgresParameters { $0.int4(7) }), (.commit, .init())])
      }
      #expect(error.sqlState == "23503")
      #expect(error.kind == .poison)
      #expect(error.operation == "COMMIT")
    }
  }

  @Test func transactionRollsBackWhenTheBodyThrows() async throws {
    struct Stop: Error {}
    try await withNumbers { connection in
      #expect(throws: Stop.self) {
        try connection.transaction {
          _ = try connection.pipeline([number(1)])
          throw Stop()
        }
      }
      #expect(try connection.number(Self.count) == 0)
      let answer = try connection.transaction {
        _ = try connection.pipeline([number(1)])
        return 42
      }
      #expect(answer == 42)
      #expect(try connection.number(Self.count) == 1)
    }
  }

  @Test func misuseIsRefusedBeforeAnythingIsSent() async throws {
    try await withNumbers { connection in
      let nested = try failure { try connection.pipeline([(.begin, .init()), (.begin, .init())]) }
      #expect(nested.kind == .permanent)
      let unmappable = try failure { try connection.pipeline([number(1), (.commit, .init())]) }
      #expect(unmappable.message.contains("outside"))
      _ = try connection.pipeline([number(1)])
      let otherSQL = PostgresStatement(name: "insert", "SELECT 1")
      #expect(throws: PostgresError.self) { try connection.execute(otherSQL) }
      #expect(throws: PostgresError.self) { try connection.execute(Self.insert, PostgresParameters { $0.int8(1) }) }
      #expect(try connection.number(Self.count) == 1)
    }
  }

  /// Both directions fill the sockets' buffers: a client that only wrote would wait for a server that only waits to
  /// write.
  @Test func largePipelineDoesNotDeadlock() async throws {
    try await withConnection { connection in
      let text = String(repeating: "x", count: 1 << 20)
      let echo = PostgresStatement(name: "echo", "SELECT $1")
      let results = try connection.pipeline((0..<32).map { _ in (echo, PostgresParameters { $0.text(text) }) })
      #expect(try results.allSatisfy { try $0.text(0, 0).utf8.count == 1 << 20 })
    }
  }

  @Test func forgottenStatementIsPreparedAgain() async throws {
    try await withNumbers { connection in
      _ = try connection.pipeline([number(1)])
      try connection.execute("DEALLOCATE ALL")
      _ = try connection.pipeline([number(2), number(3)])
      #expect(try connection.number(Self.count) == 3)
    }
  }

  @Test func changedTableReprepares() async throws {
    try await withNumbers { connection in
      _ = try connection.pipeline([number(1)])
      let all = PostgresStatement(name: "all", "SELECT * FROM numbers")
      #expect(try connection.execute(all).columnCount == 1)
      try connection.execute("ALTER TABLE numbers ADD COLUMN label text")
      #expect(try connection.execute(all).columnCount == 2)
      // Inside a transaction it cannot be healed silently: the transaction is the caller's to repeat.
      try connection.execute("ALTER TABLE numbers ADD COLUMN note text")
      try connection.begin()
      let error = try failure { try connection.execute(all) }
      #expect(error.kind == .reprepare)
      #expect(error.isRetriable)
      try connection.rollback()
      #expect(try connection.execute(all).columnCount == 3)
    }
  }

  /// With one row both indexes look alike, and the planner takes the one that was made last.
  ///
  /// The server also makes plans again by itself, whenever other sessions have changed its catalogues often enough. So
  /// what the connection asks for is read from the statements that the server logs, not from the plans.
  @Test func plansAreMadeAgainAfterTheTablesDouble() async throws {
    let renewals = Mutex(0)
    let count: @Sendable (PostgresNotice) -> Void = { notice in
      if notice.message.contains("DISCARD PLANS") { renewals.withLock { $0 += 1 } }
    }
    try await withConnection({
      $0.plansByIndexes = true
      $0.noticeHandler = count
    }) { connection in
      // Nobody else analyses a temporary table.
      try connection.execute(
        """
        CREATE TEMPORARY TABLE samples (a text, b text, c text);
        CREATE INDEX by_key ON samples (a, b); CREATE INDEX by_other ON samples (c, b);
        INSERT INTO samples VALUES ('a', 'b', 'c'); ANALYZE samples;
        SET client_min_messages = log; SET log_statement = 'all'
        """)
      let find = PostgresStatement(name: "find", "SELECT FROM samples WHERE a = $1 AND b = $2")
      let fill = PostgresStatement(name: "fill", "INSERT INTO samples SELECT n, n, n FROM generate_series(1, $1) AS n")
      func plan() throws -> String {
        try connection.execute(find, PostgresParameters { for _ in 0..<2 { $0.text("x") } })
        let lines = try connection.execute("EXPLAIN EXECUTE find('x', 'x')")
        return try (0..<lines.rowCount).map { try lines.text($0, 0) }.joined(separator: "\n")
      }
      let before = try plan()
      try #require(before.contains("by_other"), "the planner was not misled: \(before)")
      let renewed = renewals.withLock { $0 }
      try connection.execute("BEGIN")
      try connection.execute(fill, PostgresParameters { $0.int4(10_000) })
      _ = try plan()
      #expect(renewals.withLock { $0 } == renewed, "renewed inside a transaction")
      try connection.execute("COMMIT")
      let after = try plan()
      #expect(after.contains("by_key"), "\(after)")
      #expect(renewals.withLock { $0 } == renewed + 1)
    }
  }

  @Test func copyIsRefusedAndGivesTheConnectionUp() async throws {
    try await withNumbers { connection in
      _ = try failure { try connection.execute("COPY numbers TO STDOUT") }
      #expect(!connection.isUsable)
    }
  }
}
