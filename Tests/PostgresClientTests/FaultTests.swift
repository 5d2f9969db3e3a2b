import Dispatch
import PostgresClient
import TestServers
import Testing

/// Lost connections, silent servers, and who gets a new connection when.
@Suite struct FaultTests {
  private static let sleep = PostgresStatement(name: "sleep", "SELECT pg_sleep(60)")

  @Test func deadlineCancelsAndGivesUp() async throws {
    let url = try await freshDatabase()
    let observer = try PostgresConnection.connect(settings(url))
    let connection = try PostgresConnection.connect(settings(url) { $0.deadline = .milliseconds(200) })
    let pid = connection.backendPID
    let error = try failure { try connection.execute(Self.sleep) }
    #expect(error.kind == .deadline)
    #expect(error.operation == "sleep")
    #expect(error.isRetriable)
    #expect(!connection.isUsable)
    #expect(try failure { try connection.execute("SELECT 1") }.kind == .transient)
    // The server was informed: the session ends long before its sleep would.
    let limit = ContinuousClock.now + .seconds(10)
    let asleep =
      "SELECT count(*) FROM pg_stat_activity WHERE pid = \(pid) AND query LIKE '%pg_sleep%' AND state = 'active'"
    while try observer.number(asleep) > 0 {
      try #require(ContinuousClock.now < limit)
    }
  }

  @Test func deadlineDuringCommitIsUnknown() async throws {
    let url = try await freshDatabase()
    let setup = try PostgresConnection.connect(settings(url))
    // A deferred trigger runs inside COMMIT.
    try setup.execute(
      """
      CREATE TABLE slow (n int);
      CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle();
      """)
    let insert = PostgresStatement(name: "insert_slow", "INSERT INTO slow VALUES (1)")
    let piped = try PostgresConnection.connect(settings(url) { $0.deadline = .milliseconds(200) })
    let first = try failure { try piped.pipeline([(.begin, .init()), (insert, .init()), (.commit, .init())]) }
    #expect(first.kind == .commitUnknown)
    #expect(first.operation == "BEGIN, insert_slow, COMMIT")
    #expect(first.isRetriable)
    let plain = try PostgresConnection.connect(settings(url) { $0.deadline = .milliseconds(200) })
    try plain.begin()
    try plain.execute(insert)
    #expect(try failure { try plain.commit() }.kind == .commitUnknown)
  }

  @Test func sessionTerminatedDuringCommitIsUnknown() async throws {
    let url = try await freshDatabase()
    let setup = try PostgresConnection.connect(settings(url))
    try setup.execute(
      """
      CREATE TABLE fatal (n int);
      CREATE FUNCTION suicide() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER suicide AFTER INSERT ON fatal DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION suicide();
      """)
    let connection = try PostgresConnection.connect(settings(url))
    let insert = PostgresStatement(name: "insert_fatal", "INSERT INTO fatal VALUES (1)")
    let error = try failure { try connection.pipeline([(.begin, .init()), (insert, .init()), (.commit, .init())]) }
    #expect(error.kind == .commitUnknown)
    #expect(!connection.isUsable)
  }

  @Test func terminatedSessionIsTransientAndReplaced() async throws {
    let url = try await freshDatabase()
    let worker = try PostgresWorker(settings(url))
    let first = try await worker.perform { $0.backendPID }
    await #expect {
      try await worker.perform { connection in
        _ = try connection.execute(
          PostgresStatement(name: "die", "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(5)"))
      }
    } throws: {
      ($0 as? PostgresError)?.kind == .transient
    }
    let second = try await worker.perform { $0.backendPID }
    #expect(second != first)
    // Ended while idle: noticed before work is given to it.
    let admin = try PostgresConnection.connect(settings(url))
    #expect(
      try admin.execute(PostgresStatement(name: "kill", "SELECT pg_terminate_backend(\(second), 10000)")).bool(0, 0))
    let third = try await worker.perform { try Int32($0.number("SELECT pg_backend_pid()")) }
    #expect(third != second)
    await worker.close()
  }

  @Test func openTransactionIsNotHandedOn() async throws {
    struct Stop: Error {}
    let worker = try PostgresWorker(settings(await freshDatabase()))
    await #expect(throws: Stop.self) {
      try await worker.perform { connection in
        try connection.execute("CREATE TABLE t ()")
        try connection.begin()
        try connection.execute("DROP TABLE t")
        throw Stop()
      }
    }
    let answer = try await worker.perform {
      (isOpen: $0.isInTransaction, rows: try $0.number("SELECT count(*) FROM t"))
    }
    #expect(!answer.isOpen && answer.rows == 0)
    await worker.close()
  }

  @Test func poolRunsAsManyAtOnceAsItHasConnections() async throws {
    let url = try await freshDatabase()
    let pool = try PostgresPool(settings(url), size: 3)
    let present = """
      SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
      WHERE locktype = 'advisory' AND datname = current_database()
      """
    // Each waits for the others: it ends only if all three run at the same time, on sessions of their own.
    let pids = try await withThrowingTaskGroup(of: Int32.self) { group in
      for _ in 0..<3 {
        group.addTask {
          try await pool.perform { connection in
            try connection.execute("SELECT pg_advisory_lock_shared(1)")
            while try connection.number(present) < 3 {}
            return connection.backendPID
          }
        }
      }
      return try await group.reduce(into: Set()) { $0.insert($1) }
    }
    #expect(pids.count == 3)
    let sum = try await withThrowingTaskGroup(of: Int64.self) { group in
      for index in 0..<200 { group.addTask { try await pool.perform { try $0.number("SELECT \(index)::int8") } } }
      return try await group.reduce(0, +)
    }
    #expect(sum == 19_900)
    // One piece of work after the other is for the session that worked last; a thread that is slow to lie down loses
    // its turn now and then.
    var turns: [Int32: Int] = [:]
    for _ in 0..<60 { turns[try await pool.perform { $0.backendPID }, default: 0] += 1 }
    #expect(turns.values.max()! > 40, "\(turns)")
    await pool.close()
  }

  @Test func unreachableServerFailsTheWorkAndPacesItself() async throws {
    let refusing = try LoopbackSocket(listening: false)
    let pool = try PostgresPool(
      settings("host=127.0.0.1 port=\(refusing.port) user=a") {
        $0.minReconnectDelay = .milliseconds(20)
        $0.maxReconnectDelay = .milliseconds(80)
      }, size: 2)
    let started = ContinuousClock.now
    for _ in 0..<5 {
      await #expect {
        try await pool.perform { $0.backendPID }
      } throws: {
        ($0 as? PostgresError)?.operation == "connect"
      }
    }
    // Two threads share the attempts; each pauses at least half its ceiling before its next one.
    #expect(ContinuousClock.now - started >= .milliseconds(10))
    await pool.close()
  }

  @Test func closeLetsRunningWorkEndAndFailsTheRest() async throws {
    let worker = try PostgresWorker(settings(await freshDatabase()))
    let (hasStarted, signal) = AsyncStream<Void>.makeStream()
    let gate = Gate()
    let running = Task {
      try await worker.perform { connection in
        signal.yield()
        gate.wait()
        return try connection.number("SELECT 7")
      }
    }
    for await _ in hasStarted { break }
    let closing = Task { await worker.close() }
    // Whether it came before the close or after it: it never runs.
    await #expect {
      try await worker.perform { $0.backendPID }
    } throws: {
      ($0 as? PostgresError)?.kind == .closed
    }
    gate.open()
    #expect(try await running.value == 7)
    await closing.value
    await worker.close()
  }

  @Test func cancelledWorkIsTakenBackWhileItWaits() async throws {
    let worker = try PostgresWorker(settings(await freshDatabase()))
    let (stream, signal) = AsyncStream<Void>.makeStream()
    let gate = Gate()
    let blocking = Task {
      try await worker.perform { _ in
        signal.yield()
        gate.wait()
      }
    }
    for await _ in stream { break }
    let waiting = Task { try await worker.perform { $0.backendPID } }
    waiting.cancel()
    await #expect(throws: CancellationError.self) { try await waiting.value }
    gate.open()
    try await blocking.value
    await worker.close()
  }

  @Test func frozenServerMeetsTheDeadline() async throws {
    let servers = try await TestServers.dedicated([.postgres])
    let connection = try PostgresWorker(settings(servers.databaseURL()) { $0.deadline = .milliseconds(300) })
    _ = try await connection.perform { try $0.number("SELECT 1") }
    try await servers.pause(.postgres)
    await #expect {
      try await connection.perform { try $0.number("SELECT 1") }
    } throws: {
      ($0 as? PostgresError)?.kind == .deadline
    }
    try await servers.resume(.postgres)
    #expect(try await connection.perform { try $0.number("SELECT 1") } == 1)
    try await servers.kill(.postgres)
    await #expect(throws: PostgresError.self) { try await connection.perform { try $0.number("SELECT 1") } }
    try await servers.start(.postgres)
    #expect(try await connection.perform { try $0.number("SELECT 1") } == 1)
    await connection.close()
    try await servers.stop()
  }
}

/// Blocks a worker's thread, where blocking is allowed, until it is opened.
final class Gate: Sendable {
  private let semaphore = DispatchSemaphore(value: 0)
  func wait() { semaphore.wait() }
  func open() { semaphore.signal() }
}
