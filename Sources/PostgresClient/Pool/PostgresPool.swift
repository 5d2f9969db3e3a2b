import ConnectionThreads

/// Threads with a connection each, and the work that they take in order of arrival, the thread that worked last first.
///
/// A connection is opened when work first needs it and replaced when it breaks, with pauses as
/// `PostgresSettings.minReconnectDelay` and `maxReconnectDelay` say while it cannot be had. A broken connection fails the work that ran on it; nothing
/// is repeated behind the caller's back.
public final class PostgresPool: Sendable {
  let queue: JobQueue
  /// How many threads, and so connections at most.
  public let size: Int
  /// One a thread. A task that prefers one runs on that thread, and so does what it performs on the pool: at once, with
  /// that thread's connection, and without the pool's pauses between attempts to connect. It must not block by other
  /// means. Once the pool is closed, such a task goes on elsewhere.
  public let executors: [any TaskExecutor]

  /// - Parameter size: from 1.
  public init(_ settings: PostgresSettings, size: Int, name: String = "pg") {
    precondition(size > 0, "a pool needs a connection")
    self.size = size
    let queue = JobQueue(threads: size)
    self.queue = queue
    executors = (0..<size).map { index in
      let executor = ThreadExecutor(queue: queue, number: index)
      PoolWorker.start(settings, queue, number: index, executor, name: size == 1 ? name : "\(name)-\(index + 1)")
      return executor
    }
  }

  deinit { queue.close() }

  /// Runs the body on a thread of the pool, with that thread's connection.
  ///
  /// A transaction that the body leaves open is rolled back. Cancelling the task takes the work back while it waits;
  /// once it runs it runs to its end, which the connection's deadlines bound.
  ///
  /// Called by a task on one of the pool's own threads (see `executors`), it runs there and then, unless only others
  /// have a connection.
  /// - Throws: what the body throws; the reason why no connection can be had; `CancellationError`; `closed`.
  public func perform<Value: Sendable>(_ body: @escaping @Sendable (PostgresConnection) throws -> Value) async throws
    -> Value
  {
    if let thread = PoolWorker.current(of: queue) {
      try Task.checkCancellation()
      if let connection = try thread.connectionForTask() { return try thread.perform(on: connection, body) }
    }
    let id = queue.reserveID()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Value, any Error>) in
        guard !Task.isCancelled else { return continuation.resume(throwing: CancellationError()) }
        let job = Job(
          id: id,
          run: { connection in
            let result = Result { try body(connection) }
            return { continuation.resume(with: result) }
          },
          fail: { continuation.resume(throwing: $0) })
        queue.submit(job)
        // Cancelled in between: the handler ran before there was anything to take back.
        if Task.isCancelled { queue.cancel(id) }
      }
    } onCancel: {
      queue.cancel(id)
    }
  }

  /// Refuses new work, fails what waits with `closed`, lets what runs end, and closes the connections. May be called
  /// again.
  public func close() async {
    queue.close()
    await queue.ended.wait()
  }
}

/// One thread with one connection of its own: for work that must stay in order or must not wait for others.
public final class PostgresWorker: Sendable {
  private let pool: PostgresPool

  public init(_ settings: PostgresSettings, name: String = "pg-worker") {
    pool = PostgresPool(settings, size: 1, name: name)
  }

  /// See `PostgresPool.perform`.
  public func perform<Value: Sendable>(_ body: @escaping @Sendable (PostgresConnection) throws -> Value) async throws
    -> Value
  {
    try await pool.perform(body)
  }

  /// See `PostgresPool.close`.
  public func close() async { await pool.close() }
}
