import ConnectionThreads
import Glibc

/// One thread of a pool. It opens its connection when there is work, keeps it, and pauses between failed attempts.
///
/// Used on its own thread only.
final class PoolWorker {
  private let settings: PostgresSettings
  private let queue: JobQueue
  private let number: Int
  private var connection: PostgresConnection?
  private var backoff: Backoff
  private var notBefore = MonotonicInstant.distantPast

  private init(_ settings: PostgresSettings, _ queue: JobQueue, number: Int) {
    self.settings = settings
    self.queue = queue
    self.number = number
    backoff = Backoff(base: settings.minReconnectDelay, maximum: settings.maxReconnectDelay)
  }

  /// - Parameter number: from 0.
  static func start(
    _ settings: PostgresSettings, _ queue: JobQueue, number: Int, _ executor: ThreadExecutor, name: String
  ) {
    NamedThread.start(name: name, stackBytes: 4 << 20) {
      let thread = PoolWorker(settings, queue, number: number)
      pthread_setspecific(currentKey, Unmanaged.passUnretained(thread).toOpaque())
      thread.run(as: executor)
      pthread_setspecific(currentKey, nil)
      queue.threadEnded()
    }
  }

  /// The worker of this queue on whose thread the caller runs, if any.
  static func current(of queue: JobQueue) -> PoolWorker? {
    guard let pointer = pthread_getspecific(currentKey) else { return nil }
    let thread = Unmanaged<PoolWorker>.fromOpaque(pointer).takeUnretainedValue()
    return thread.queue === queue ? thread : nil
  }

  private static let currentKey: pthread_key_t = {
    var key = pthread_key_t()
    let status = pthread_key_create(&key, nil)
    precondition(status == 0, "the process has no key left for its threads")
    return key
  }()

  private func run(as executor: ThreadExecutor) {
    while let work = queue.awaitWork(number, hasConnection: connection != nil) {
      switch work {
      case .task(let job): job.runSynchronously(on: executor.asUnownedTaskExecutor())
      case .jobs: runJob()
      }
    }
    // Freed on the thread that owns it, before the queue learns that the thread ended.
    connection = nil
  }

  private func runJob() {
    discardIfDead()
    guard let connection = connection ?? connectForJobs(), let job = queue.dequeue() else { return }
    let announce = perform(on: connection, job.run)
    queue.isFree(number, hasConnection: self.connection != nil)
    announce()
  }

  /// The connection for a task on this thread, without the pauses between attempts, which are up to the task.
  /// - Returns: nil when it cannot be opened but another thread has one: the work then goes to the queue.
  func connectionForTask() throws -> PostgresConnection? {
    guard queue.isOpen else { throw JobQueue.closedError }
    while true {
      discardIfDead()
      do {
        let connection = try connection ?? connect()
        // A task may occupy its thread forever, so pending jobs go first.
        guard let job = queue.dequeue() else { return connection }
        perform(on: connection, job.run)()
      } catch {
        guard queue.hasConnection else { throw error }
        return nil
      }
    }
  }

  func perform<Value>(on connection: PostgresConnection, _ body: (PostgresConnection) throws -> Value) rethrows -> Value
  {
    defer {
      // A body that threw inside a transaction must not leave it to the next one.
      connection.abandonTransaction()
      discardIfDead()
    }
    return try body(connection)
  }

  private func discardIfDead() {
    guard let connection, !connection.isAlive() else { return }
    self.connection = nil
    queue.connectionLost()
  }

  private func connectForJobs() -> PostgresConnection? {
    if MonotonicInstant.now() < notBefore {
      queue.pause(number, until: notBefore)
      // Closed, needed by a task, or another thread has done the work: look again.
      guard MonotonicInstant.now() >= notBefore, queue.hasWork else { return nil }
    }
    do throws(PostgresError) {
      return try connect()
    } catch {
      queue.connectFailed(error)
      return nil
    }
  }

  private func connect() throws(PostgresError) -> PostgresConnection {
    do throws(PostgresError) {
      let fresh = try PostgresConnection.connect(settings)
      backoff.reset()
      notBefore = .distantPast
      connection = fresh
      queue.connectionOpened()
      return fresh
    } catch {
      notBefore = .now() + backoff.next()
      throw error
    }
  }
}

/// Runs tasks on one thread of a pool.
final class ThreadExecutor: TaskExecutor {
  private let queue: JobQueue
  private let number: Int

  init(queue: JobQueue, number: Int) {
    self.queue = queue
    self.number = number
  }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    // Once the pool is closed, the task goes on elsewhere.
    if !queue.submit(job, to: number) { globalConcurrentExecutor.enqueue(job) }
  }
}
