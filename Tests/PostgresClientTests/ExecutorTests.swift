import Glibc
import Synchronization
import TestServers
import Testing

@testable import PostgresClient

/// Tasks on the threads of a pool.
@Suite(.timeLimit(.minutes(2))) struct ExecutorTests {
  @Test func aTaskThatPrefersAThreadStaysOnItAndItsConnection() async throws {
    let pool = try PostgresPool(settings(await freshDatabase()), size: 3)
    let sessions = try await withThrowingTaskGroup(of: Set<Int32>.self) { group in
      for executor in pool.executors {
        group.addTask(executorPreference: executor) {
          let thread = currentThread()
          var sessions: Set<Int32> = []
          for _ in 0..<50 {
            let (performing, session) = try await pool.perform { (currentThread(), $0.backendPID) }
            #expect(performing == thread)
            sessions.insert(session)
            await Task.yield()
            #expect(currentThread() == thread)
          }
          return sessions
        }
      }
      return try await group.reduce(into: [Set<Int32>]()) { $0.append($1) }
    }
    #expect(sessions.allSatisfy { $0.count == 1 })
    #expect(Set(sessions.flatMap(\.self)).count == 3)
    await pool.close()
  }

  @Test func othersWorkIsDoneBesideTasks() async throws {
    let pool = try PostgresPool(settings(await freshDatabase()), size: 2)
    let sum = try await withThrowingTaskGroup(of: Int64.self) { group in
      for turn in 0..<200 {
        let body: @Sendable () async throws -> Int64 = {
          try await pool.perform { try $0.number("SELECT \(turn % 7)::int8") }
        }
        group.addTask { try await body() }
        group.addTask(executorPreference: pool.executors[turn % 2]) { try await body() }
      }
      return try await group.reduce(0, +)
    }
    #expect(sum == 2 * (0..<200).reduce(0) { $0 + Int64($1 % 7) })
    await pool.close()
  }

  /// A transaction that a task leaves open, and a session that has ended, are the same to it as to anybody else.
  @Test func aTaskFindsItsConnectionInOrder() async throws {
    struct Stop: Error {}
    let pool = try PostgresPool(settings(await freshDatabase()), size: 1)
    try await onThread(of: pool) {
      await #expect(throws: Stop.self) {
        try await pool.perform { connection in
          try connection.begin()
          throw Stop()
        }
      }
      let first = try await pool.perform { connection in
        #expect(!connection.isInTransaction)
        return connection.backendPID
      }
      await #expect(throws: PostgresError.self) {
        try await pool.perform {
          _ = try $0.number("SELECT pg_terminate_backend(pg_backend_pid())::int::int8 FROM pg_sleep(0)")
        }
      }
      #expect(try await pool.perform { $0.backendPID } != first)
    }
    await pool.close()
  }

  /// The thread is called away from the pause before its next attempt to connect.
  @Test func aTaskDoesNotWaitForTheThreadsPauses() async throws {
    let refusing = try LoopbackSocket(listening: false)
    let pool = try PostgresPool(
      settings("host=127.0.0.1 port=\(refusing.port) user=a") {
        $0.minReconnectDelay = .seconds(60)
        $0.maxReconnectDelay = .seconds(60)
      }, size: 1)
    await #expect(throws: PostgresError.self) { try await pool.perform { $0.backendPID } }
    // Waits for the end of the pause, and for that of the next one where the machine is so busy that the first is over
    // already.
    let waiting = Task {
      while true {
        do { return try await pool.perform { $0.backendPID } } catch let error as PostgresError
          where error.operation == "connect"
        { continue }
      }
    }
    while !pool.queue.hasWork {
      try Task.checkCancellation()
      await Task.yield()
    }
    try await onThread(of: pool) {
      for _ in 0..<3 {
        await #expect {
          try await pool.perform { $0.backendPID }
        } throws: {
          ($0 as? PostgresError)?.operation == "connect"
        }
      }
    }
    waiting.cancel()
    await #expect(throws: CancellationError.self) { try await waiting.value }
    await pool.close()
  }

  /// A task on a thread that gets no connection has its work done where there is one, even beside a task that never
  /// leaves its thread.
  @Test func aTaskWithoutAConnectionHasItsWorkDoneElsewhere() async throws {
    let url = try await freshDatabase()
    let admin = try PostgresConnection.connect(settings(url))
    try admin.execute("CREATE ROLE executor_\(admin.backendPID) LOGIN PASSWORD 'only' CONNECTION LIMIT 1")
    let login = "user=executor_\(admin.backendPID)&password=only"
    let pool = try PostgresPool(settings(url + (url.contains("?") ? "&" : "?") + login), size: 2)
    try await withThrowingTaskGroup(of: Void.self) { group in
      let isDone = Flag()
      let session = try await Task(executorPreference: pool.executors[0]) { try await pool.perform { $0.backendPID } }
        .value
      group.addTask(executorPreference: pool.executors[0]) {
        while !isDone.isSet.load(ordering: .acquiring) {
          _ = try await pool.perform { try $0.number("SELECT 1::int8") }
        }
      }
      group.addTask(executorPreference: pool.executors[1]) {
        for _ in 0..<3 {
          let elsewhere = try await pool.perform { $0.backendPID }
          #expect(elsewhere == session)
        }
        isDone.isSet.store(true, ordering: .releasing)
      }
      try await group.waitForAll()
    }
    await pool.close()
  }

  @Test func aTaskOutlivesThePool() async throws {
    let pool = try PostgresPool(settings(await freshDatabase()), size: 1)
    try await onThread(of: pool) {
      _ = try await pool.perform { $0.backendPID }
      let thread = currentThread()
      await pool.close()
      #expect(currentThread() != thread)
      await #expect {
        try await pool.perform { $0.backendPID }
      } throws: {
        ($0 as? PostgresError)?.kind == .closed
      }
    }
  }

  @Test func aCancelledTaskPerformsNothing() async throws {
    let pool = try PostgresPool(settings(await freshDatabase()), size: 1)
    let task = Task(executorPreference: pool.executors[0]) {
      withUnsafeCurrentTask { $0?.cancel() }
      return try await pool.perform { $0.backendPID }
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    await pool.close()
  }

  private func onThread(of pool: PostgresPool, _ body: @escaping @Sendable () async throws -> Void) async throws {
    try await Task(executorPreference: pool.executors[0]) { try await body() }.value
  }
}

private final class Flag: Sendable {
  let isSet = Atomic(false)
}

private func currentThread() -> UInt { UInt(pthread_self()) }
