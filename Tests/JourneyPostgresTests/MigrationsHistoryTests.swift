import TestSupport
import Foundation
import JourneyPostgres
import PostgresClient
import TestServers
import Testing

/// The migrator: order, history, errors, and two concurrent runs.
@Suite struct MigrationsHistoryTests {
  private static let one = Migration(version: 1, name: "one", sql: "CREATE TABLE one ()")
  private static let two = Migration(version: 2, name: "two", sql: "CREATE TABLE two ()")
  private static let three = Migration(version: 3, name: "three", sql: "CREATE TABLE three ()")

  private func inconsistency(_ body: () async throws -> Void) async throws -> [HistoryRow] {
    do { try await body() } catch MigrationError.inconsistent(let rows) { return rows }
    Issue.record("the history was accepted")
    return []
  }

  @Test func secondRunIsANoOpAndTheHistoryIsKept() async throws {
    try await withDatabase { worker in
      let migrator = Migrator(worker, files: [Self.one, Self.two])
      #expect(try await migrator.pending().map(\.version) == [1, 2])
      let applied = try await migrator.apply()
      #expect(applied.map(\.version) == [1, 2])
      #expect(applied.map(\.checksum) == [Self.one.checksum, Self.two.checksum])
      #expect(applied.allSatisfy { $0.appliedBy == "postgres" && $0.durationMilliseconds >= 0 })
      #expect(try await migrator.apply().isEmpty)
      #expect(try await migrator.pending().isEmpty)
      let more = Migrator(worker, files: [Self.one, Self.two, Self.three])
      #expect(try await more.apply().map(\.version) == [3])
      #expect(try await more.plan().applied.map(\.name) == ["one", "two", "three"])
    }
  }

  @Test func changedFileIsRefusedSideBySide() async throws {
    try await withDatabase { worker in
      try await Migrator(worker, files: [Self.one]).apply()
      let changed = Migration(version: 1, name: "one", sql: "CREATE TABLE one ();")
      let rows = try await inconsistency { try await Migrator(worker, files: [changed, Self.two]).apply() }
      #expect(rows.map(\.version) == [1, 2])
      #expect(rows[0].problem?.contains("changed") == true)
      #expect(rows[1].problem == nil)
      let text = MigrationError.inconsistent(rows).description
      #expect(text.contains(changed.checksum.prefix(12)) && text.contains(Self.one.checksum.prefix(12)))
      #expect(try await worker.rows("SELECT to_regclass('two') IS NULL") == ["t"])
    }
  }

  @Test func missingFileIsRefused() async throws {
    try await withDatabase { worker in
      try await Migrator(worker, files: [Self.one, Self.two]).apply()
      let rows = try await inconsistency { _ = try await Migrator(worker, files: [Self.two]).plan() }
      #expect(rows.first?.problem?.contains("missing") == true)
    }
  }

  @Test func fileBeforeAnAppliedOneIsRefused() async throws {
    try await withDatabase { worker in
      try await Migrator(worker, files: [Self.one, Self.three]).apply()
      let rows = try await inconsistency {
        try await Migrator(worker, files: [Self.one, Self.two, Self.three]).apply()
      }
      #expect(rows.map { $0.problem == nil } == [true, false, true])
    }
  }

  @Test func failingFileIsRolledBackWithItsLineAndTheOnesBeforeStay() async throws {
    let bad = Migration(version: 2, name: "bad", sql: "CREATE TABLE half ();\n\nSELECT nothing;\n")
    try await withDatabase { worker in
      let migrator = Migrator(worker, files: [Self.one, bad])
      do {
        try await migrator.apply()
        Issue.record("a wrong file was applied")
      } catch MigrationError.failed(let file, let line, _, let isRetriable) {
        #expect(file == "002_bad.sql")
        #expect(line == 3)
        #expect(!isRetriable)
      }
      #expect(try await worker.rows("SELECT to_regclass('one') IS NULL, to_regclass('half') IS NULL") == ["f|t"])
      #expect(try await migrator.pending() == [bad])
      // The lock is released, and the usual limits are restored.
      #expect(
        try await worker.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
          == ["0"])
      #expect(try await worker.rows("SHOW statement_timeout") == ["20s"])
    }
  }

  @Test func fileThatEndsItsTransactionIsRefused() async throws {
    let bad = Migration(version: 1, name: "ends", sql: "CREATE TABLE x (); COMMIT")
    try await withDatabase { worker in
      await #expect(throws: MigrationError.self) { try await Migrator(worker, files: [bad]).apply() }
    }
  }

  @Test func rehearsalChangesNothing() async throws {
    try await withDatabase { worker in
      let migrator = Migrator(worker, files: [Self.one, Self.two])
      let rehearsed = try await migrator.rehearse()
      #expect(rehearsed.map(\.version) == [1, 2])
      #expect(try await worker.rows("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == ["0"])
      let bad = Migrator(worker, files: [Self.one, Migration(version: 2, name: "bad", sql: "SELEKT")])
      await #expect(throws: MigrationError.self) { _ = try await bad.rehearse() }
      #expect(try await worker.rows("SELECT to_regclass('one') IS NULL") == ["t"])
    }
  }

  /// Each table can be created only once, so a run that did not wait for the other would fail.
  @Test func twoRunnersQueue() async throws {
    let url = try await TestServers.shared().makeDatabase()
    let files = [
      Migration(version: 1, name: "one", sql: "CREATE TABLE one (); SELECT pg_sleep(0.2)"), Self.two, Self.three,
    ]
    let counts = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<3 {
        group.addTask { try await withDatabase(url) { try await Migrator($0, files: files).apply().count } }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(counts.sorted() == [0, 0, 3])
  }

  @Test func filesAreNamedAndNumbered() throws {
    let shipped = try ShippedMigrations.load().map(\.fileName)
    #expect(shipped.starts(with: ["100_platform.sql", "102_client_journey_intelligence.sql", "103_adapter.sql"]))
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("migrations-\(UUID())")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    func write(_ name: String) throws { try Data("SELECT 1".utf8).write(to: directory.appendingPathComponent(name)) }
    #expect(throws: MigrationError.self) { try Migration.load(directory: directory.path) }
    #expect(throws: MigrationError.self) { try Migration.load(directory: directory.path + "/none") }
    try write("010_b.sql")
    try write("002_a.sql")
    try write("notes.txt")
    #expect(try Migration.load(directory: directory.path).map(\.fileName) == ["002_a.sql", "010_b.sql"])
    try write("0010_twin.sql")
    #expect(throws: MigrationError.self) { try Migration.load(directory: directory.path) }
    try FileManager.default.removeItem(at: directory.appendingPathComponent("0010_twin.sql"))
    try write("later.sql")
    #expect(throws: MigrationError.self) { try Migration.load(directory: directory.path) }
  }

  /// The known digest of an empty file: the checksum is SHA-256 of the bytes.
  @Test func checksumIsSHA256() {
    #expect(
      Migration(version: 1, name: "x", sql: "").checksum
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  }
}
