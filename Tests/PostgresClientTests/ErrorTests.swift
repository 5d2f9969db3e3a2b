import TestServers
import Testing

@testable import PostgresClient

/// Errors as the server really raises them.
@Suite struct ErrorTests {
  struct Provocation: Sendable, CustomTestStringConvertible {
    var sqlState: String
    var kind: PostgresError.Kind
    var sql: String
    var testDescription: String { sqlState }
  }

  private static let tables = """
    CREATE TABLE parents (id int PRIMARY KEY);
    CREATE TABLE children (id int PRIMARY KEY, parent int NOT NULL REFERENCES parents, note varchar(4), CHECK (id > 0));
    INSERT INTO parents VALUES (1); INSERT INTO children VALUES (1, 1);
    CREATE TYPE mood AS ENUM ('good');
    """

  @Test(arguments: [
    Provocation(sqlState: "22P05", kind: .poison, sql: #"SELECT '{"a":"\u0000"}'::jsonb"#),
    Provocation(sqlState: "22P02", kind: .poison, sql: "SELECT 'secret-value'::uuid"),
    Provocation(sqlState: "22P02", kind: .poison, sql: "SELECT 'secret-value'::mood"),
    Provocation(sqlState: "22P02", kind: .poison, sql: "SELECT '{secret-value'::jsonb"),
    Provocation(sqlState: "22003", kind: .poison, sql: "SELECT '1e200000'::float8"),
    Provocation(sqlState: "22003", kind: .poison, sql: "SELECT 'secret-value', 3000000000::int4"),
    Provocation(sqlState: "22007", kind: .poison, sql: "SELECT 'secret-value'::timestamptz"),
    Provocation(sqlState: "22012", kind: .poison, sql: "SELECT 1/0"),
    Provocation(sqlState: "22001", kind: .poison, sql: "INSERT INTO children VALUES (2, 1, 'secret-value')"),
    Provocation(sqlState: "23502", kind: .poison, sql: "INSERT INTO children VALUES (2, NULL, 'sv')"),
    Provocation(sqlState: "23503", kind: .poison, sql: "INSERT INTO children VALUES (2, 9)"),
    Provocation(sqlState: "23505", kind: .poison, sql: "INSERT INTO parents VALUES (1)"),
    Provocation(sqlState: "23514", kind: .poison, sql: "INSERT INTO children VALUES (-1, 1)"),
    Provocation(
      sqlState: "21000", kind: .poison,
      sql: "INSERT INTO parents VALUES (5), (5) ON CONFLICT (id) DO UPDATE SET id = 5"),
    Provocation(
      sqlState: "54011", kind: .poison,
      sql: "CREATE TABLE wide (\((0..<1_601).map { "c\($0) int" }.joined(separator: ", ")))"),
    Provocation(sqlState: "P0001", kind: .poison, sql: "DO $$ BEGIN RAISE EXCEPTION 'no'; END $$"),
    Provocation(sqlState: "40001", kind: .transient, sql: "DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40001'; END $$"),
    Provocation(sqlState: "57014", kind: .transient, sql: "SET statement_timeout = 20; SELECT pg_sleep(60)"),
    Provocation(
      sqlState: "53400", kind: .transient,
      sql: """
        SET temp_file_limit = 0; SET work_mem = '64kB';
        SELECT count(*) FROM (SELECT g FROM generate_series(1, 200000) g ORDER BY md5(g::text)) s
        """),
    Provocation(
      sqlState: "25006", kind: .reconnect, sql: "SET default_transaction_read_only = on; COMMIT; DELETE FROM parents"),
    Provocation(sqlState: "26000", kind: .reprepare, sql: "EXECUTE unknown_statement"),
    Provocation(sqlState: "42P01", kind: .permanent, sql: "SELECT * FROM nothing"),
    Provocation(
      sqlState: "42501", kind: .permanent,
      sql: "CREATE ROLE nobody_in_particular; SET ROLE nobody_in_particular; DELETE FROM parents"),
    Provocation(sqlState: "42601", kind: .permanent, sql: "SELECT FROM WHERE"),
    Provocation(
      sqlState: "0A000", kind: .permanent,
      sql: "SELECT * FROM parents FOR UPDATE; SELECT count(*) FROM parents FOR UPDATE"),
    Provocation(sqlState: "3F000", kind: .permanent, sql: "CREATE TABLE nowhere.x ()"),
  ])
  func classifiedAsProvoked(_ provocation: Provocation) async throws {
    try await withConnection { connection in
      try connection.execute(Self.tables)
      let error = try failure { try connection.execute(provocation.sql) }
      #expect(error.sqlState == provocation.sqlState)
      #expect(error.kind == provocation.kind, "\(error)")
      #expect(!error.description.contains("secret-value"))
      // A session with a server that only reads is given up, so that the next connection looks for the primary.
      #expect(connection.isUsable == (provocation.kind != .reconnect))
    }
  }

  @Test func nulCharacterInText() async throws {
    try await withConnection { connection in
      let error = try failure {
        try connection.execute(
          PostgresStatement(name: "t", "SELECT $1"), PostgresParameters { $0.text("private\u{0}part") })
      }
      #expect(error.sqlState == "22021")
      #expect(error.kind == .poison)
      #expect(!error.description.contains("private"))
    }
  }

  @Test func positionOfASyntaxError() async throws {
    try await withConnection { connection in
      let error = try failure { try connection.execute("SELECT 1;\nSELEKT 2") }
      #expect(error.position == 11)
      #expect(error.file.hasSuffix("ErrorTests.swift"))
    }
  }

  /// 40P01 needs two sessions that lock in opposite order; the server takes one of them back.
  @Test func deadlockIsTransient() async throws {
    let url = try await freshDatabase()
    let setup = try PostgresConnection.connect(settings(url))
    try setup.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    let workers = try [PostgresWorker(settings(url)), PostgresWorker(settings(url))]
    let lock: @Sendable (PostgresConnection, Int) throws -> Void = {
      try $0.execute("SELECT FROM t WHERE id = \($1) FOR UPDATE")
    }
    for (index, worker) in workers.enumerated() {
      try await worker.perform { connection in
        _ = try connection.execute("SELECT pg_advisory_lock(\(index + 1))")
      }
    }
    async let first: Void = workers[0].perform { connection in
      try connection.transaction {
        try lock(connection, 1)
        try connection.execute("SELECT pg_advisory_unlock(1)")
        try connection.execute("SELECT pg_advisory_xact_lock(2)")
        try lock(connection, 2)
      }
    }
    async let second: Void = workers[1].perform { connection in
      try connection.transaction {
        try lock(connection, 2)
        try connection.execute("SELECT pg_advisory_unlock(2)")
        try connection.execute("SELECT pg_advisory_xact_lock(1)")
        try lock(connection, 1)
      }
    }
    var errors: [PostgresError] = []
    do { try await first } catch { errors.append(try #require(error as? PostgresError)) }
    do { try await second } catch { errors.append(try #require(error as? PostgresError)) }
    #expect(errors.count == 1)
    #expect(errors.first?.sqlState == "40P01")
    #expect(errors.first?.kind == .transient)
    for worker in workers { await worker.close() }
  }

  @Test func everyClassHasItsKind() {
    let expected: [(String, PostgresError.Kind)] = [
      ("08006", .transient), ("53300", .transient), ("57P01", .transient), ("57P03", .transient), ("55P03", .transient),
      ("25P03", .transient), ("40P01", .transient), ("58030", .transient), ("40002", .poison), ("44000", .poison),
      ("54000", .poison),
      ("28P01", .permanent), ("3D000", .permanent), ("25P02", .permanent), ("XX000", .permanent), ("0A000", .permanent),
    ]
    for (sqlState, kind) in expected { #expect(PostgresError.Kind(sqlState: sqlState) == kind, "\(sqlState)") }
    #expect(PostgresError.Kind(sqlState: nil) == .transient)
    #expect(PostgresError.Kind(sqlState: "0A000", function: "RevalidateCachedQuery") == .reprepare)
  }

  @Test(arguments: ["XX000", "55000", "53300", "57P03", "08P01", "25006", "54000", "P0001"])
  func aRefusalOfASessionThatSaysNothingOfTheSettingsPasses(_ sqlState: String) {
    #expect(PostgresError.Kind(sqlState: sqlState, isConnecting: true) == .transient)
  }

  @Test(arguments: ["28000", "28P01", "3D000", "42501", "22023", "0A000"])
  func aRefusalOfASessionThatNamesASettingIsForAPerson(_ sqlState: String) {
    #expect(PostgresError.Kind(sqlState: sqlState, isConnecting: true) == .permanent)
  }

  @Test func sqlStateOfARefusalWhateverItsLanguage() {
    let text = """
      connection to server at "::1", port 5: FATAL:  28P01: password
      LOCATION:  auth_failed, auth.c:1
      connection: FATAL:  3D000: no
      """
    #expect(ErrorText.sqlState(inVerbose: text) == "3D000")
    #expect(ErrorText.sqlState(inVerbose: "connection refused:  hello: x") == nil)
  }
}
