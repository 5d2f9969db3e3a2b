import Glibc

/// A piece of work for whichever thread of a pool takes it: it is settled exactly once, by `run` or by `fail`.
struct Job: Sendable {
  var id: UInt64
  var run: @Sendable (PostgresConnection) -> Void
  var fail: @Sendable (any Error) -> Void
}

/// The work that waits for a pool's threads, and what these threads must know of each other.
///
/// A lock and a condition of the operating system: threads sleep here, no task ever waits for more than the lock.
final class JobQueue: @unchecked Sendable {
  // Everything below is touched with the lock held only.
  private var waiting: [Job] = []
  private var nextID: UInt64 = 0
  private var connected = 0
  private var threads: Int
  private var isClosed = false
  private var closeWaiters: [@Sendable () -> Void] = []

  // On the heap, since both must keep their address.
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  init(threads: Int) {
    self.threads = threads
    lock.initialize(to: pthread_mutex_t())
    pthread_mutex_init(lock, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    // The wall clock may jump.
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    changed.initialize(to: pthread_cond_t())
    pthread_cond_init(changed, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(lock)
    changed.deallocate()
    lock.deallocate()
  }

  private func locked<Value>(_ body: () -> Value) -> Value {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    return body()
  }

  // MARK: For callers

  func reserveID() -> UInt64 {
    locked {
      nextID += 1
      return nextID
    }
  }

  func submit(_ job: Job) {
    let isAccepted = locked {
      if isClosed { return false }
      waiting.append(job)
      pthread_cond_signal(changed)
      return true
    }
    if !isAccepted { job.fail(Self.closedError) }
  }

  /// Takes back a job that no thread has taken yet.
  func cancel(_ id: UInt64) {
    let job: Job? = locked { waiting.firstIndex { $0.id == id }.map { waiting.remove(at: $0) } }
    job?.fail(CancellationError())
  }

  /// Refuses new work, fails what waits, and calls back when the last thread has ended.
  func close(_ done: @escaping @Sendable () -> Void) {
    let (failed, isDone): ([Job], Bool) = locked {
      isClosed = true
      let jobs = waiting
      waiting = []
      if threads > 0 { closeWaiters.append(done) }
      pthread_cond_broadcast(changed)
      return (jobs, threads == 0)
    }
    for job in failed { job.fail(Self.closedError) }
    if isDone { done() }
  }

  private static var closedError: PostgresError {
    PostgresError(.closed, operation: "perform", "the connection pool is closed")
  }

  // MARK: For threads

  /// Sleeps until there is work. Leaves it in the queue: a thread without a connection has to get one first.
  /// - Returns: false when the queue is closed.
  func awaitWork() -> Bool {
    locked {
      while waiting.isEmpty, !isClosed { pthread_cond_wait(changed, lock) }
      return !isClosed
    }
  }

  var hasWork: Bool { locked { !waiting.isEmpty && !isClosed } }

  func take() -> Job? { locked { waiting.isEmpty ? nil : waiting.removeFirst() } }

  /// Sleeps until then; ends early when the queue is closed.
  func pause(until: Instant) {
    locked {
      var time = until.timespec
      while !isClosed, Instant.now() < until { pthread_cond_timedwait(changed, lock, &time) }
      // This thread may have swallowed a signal that was meant for one that can work.
      if !waiting.isEmpty { pthread_cond_signal(changed) }
    }
  }

  func connectionOpened() { locked { connected += 1 } }
  func connectionLost() { locked { connected -= 1 } }

  /// Work that nobody can do now fails with the reason, instead of waiting for an unknown time. While another thread has a
  /// connection, the work is left to it.
  func connectFailed(_ error: PostgresError) {
    let failed: [Job] = locked {
      if connected > 0 {
        pthread_cond_signal(changed)
        return []
      }
      let jobs = waiting
      waiting = []
      return jobs
    }
    for job in failed { job.fail(error) }
  }

  func threadEnded() {
    let done: [@Sendable () -> Void] = locked {
      threads -= 1
      guard threads == 0 else { return [] }
      let callbacks = closeWaiters
      closeWaiters = []
      return callbacks
    }
    for callback in done { callback() }
  }
}
