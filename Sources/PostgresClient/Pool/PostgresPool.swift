import ConnectionThreads

/// A pool of threads with one connection each. Work runs in order of arrival; the idle thread that worked last takes
/// it.
///
/// A connection is opened when work first needs it and replaced after it is lost, with the pauses that
/// `PostgresSettings.minReconnectDelay` and `maxReconnectDelay` set. Work on a lost connection fails; the pool never
/// repeats it.
public final class PostgresPool: Sendable {
  let queue: JobQueue
  /// The number of threads, and the maximum number of connections.
  public let size: Int
  /// One executor for each thread. A task that prefers one runs on that thread, and its work on the pool runs there
  /// immediately, without the pauses between attempts to connect. Apart from that work, it must not block. Once the
  /// pool is closed, the task goes on elsewhere.
  public let executors: [any TaskExecutor]

  /// - Parameter size: at least 1.
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

  /// How much work waits for a thread.
  public var waiting: Int { queue.countWaiting }
  /// How many connections were lost since the start.
  public var connectionsLost: Int { queue.countLost }

  /// Runs the body on a thread of the pool, with that thread's connection.
  ///
  /// A transaction that the body leaves open is rolled back. Cancelling the task removes the work while it waits; once
  /// it runs, only the connection's deadlines end it.
  ///
  /// Called by a task on one of the pool's own threads (see `executors`), the body runs there immediately, unless only
  /// other threads have a connection.
  /// - Throws: the body's error; the reason why there is no connection; `CancellationError`; `closed`.
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
        // Cancelled before the submission, when the handler had nothing to remove.
        if Task.isCancelled { queue.cancel(id) }
      }
    } onCancel: {
      queue.cancel(id)
    }
  }

  /// Refuses new work, fails waiting work with `closed`, waits for running work, and closes the connections. May be
  /// called several times.
  public func close() async {
    queue.close()
    await queue.ended.wait()
  }
}

/// One thread with its own connection, for work that must stay in order or must not wait for other work.
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
