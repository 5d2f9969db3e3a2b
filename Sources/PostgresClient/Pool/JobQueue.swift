import ConnectionThreads
import Glibc

/// A job for any thread of a pool. It completes exactly once: by the closure that `run` returns, or by `fail`.
struct Job: Sendable {
  var id: UInt64
  /// Does the work. The thread calls the result, which resumes the caller, once it is free again.
  var run: @Sendable (PostgresConnection) -> @Sendable () -> Void
  var fail: @Sendable (any Error) -> Void
}

/// The pending work of a pool, and the state that its threads share.
///
/// New work wakes the idle thread that worked last, because the caches of its connection and of the server's process
/// are warmest.
///
/// Uses a mutex and one condition for each thread. It is not a mailbox of ConnectionThreads' kind: many threads take
/// from it, and a sleeping thread has no socket to watch.
final class JobQueue: @unchecked Sendable {
  // Everything below is accessed with the lock held only.
  private var waiting: [Job] = []
  /// The jobs of the tasks that prefer a thread, by thread.
  private var taskJobs: [[UnownedJob]]
  private var nextID: UInt64 = 0
  private var connected = 0
  private var lost = 0
  private var threads: Int
  /// The sleeping threads; the one that worked last is at the end.
  private var idle: [Int] = []
  private var isClosed = false
  /// Opens when the last thread has ended.
  let ended = Latch()

  // On the heap, because both need a stable address.
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let wakers: UnsafeMutableBufferPointer<pthread_cond_t>

  init(threads: Int) {
    self.threads = threads
    taskJobs = Array(repeating: [], count: threads)
    lock.initialize(to: pthread_mutex_t())
    pthread_mutex_init(lock, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    // Unlike the wall clock, it never jumps.
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    wakers = .allocate(capacity: threads)
    wakers.initialize(repeating: pthread_cond_t())
    for thread in wakers.indices { pthread_cond_init(waker(of: thread), &attributes) }
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    for thread in wakers.indices { pthread_cond_destroy(waker(of: thread)) }
    pthread_mutex_destroy(lock)
    wakers.deallocate()
    lock.deallocate()
  }

  private func locked<Value>(_ body: () -> Value) -> Value {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    return body()
  }

  private func waker(of thread: Int) -> UnsafeMutablePointer<pthread_cond_t> { wakers.baseAddress! + thread }

  /// Call it with the lock held. If no thread sleeps, the first one to finish finds the work.
  private func wakeOne() {
    if let thread = idle.popLast() { pthread_cond_signal(waker(of: thread)) }
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
      wakeOne()
      return true
    }
    if !isAccepted { job.fail(Self.closedError) }
  }

  /// Submits a job to one particular thread.
  /// - Returns: false when the queue is closed.
  func submit(_ job: UnownedJob, to thread: Int) -> Bool {
    let isAccepted = locked {
      if isClosed { return false }
      taskJobs[thread].append(job)
      idle.removeAll { $0 == thread }
      return true
    }
    // After the unlock, so that the woken thread does not wait for the lock.
    if isAccepted { pthread_cond_signal(waker(of: thread)) }
    return isAccepted
  }

  /// Removes a job that no thread has taken yet.
  func cancel(_ id: UInt64) {
    let job: Job? = locked { waiting.firstIndex { $0.id == id }.map { waiting.remove(at: $0) } }
    job?.fail(CancellationError())
  }

  /// Refuses new work and fails what waits.
  func close() {
    let failed: [Job] = locked {
      isClosed = true
      defer { waiting = [] }
      for thread in wakers.indices { pthread_cond_signal(waker(of: thread)) }
      return waiting
    }
    for job in failed { job.fail(Self.closedError) }
  }

  static var closedError: PostgresError {
    PostgresError(.closed, operation: "perform", "the connection pool is closed")
  }

  // MARK: For threads

  /// Marks a thread as idle. Called before the caller of its work resumes, so that the caller's next work goes to it.
  /// - Parameter hasConnection: threads without a connection are woken last.
  func isFree(_ thread: Int, hasConnection: Bool) { locked { addIdle(thread, hasConnection) } }

  private func addIdle(_ thread: Int, _ hasConnection: Bool) {
    if !idle.contains(thread) { idle.insert(thread, at: hasConnection ? idle.endIndex : 0) }
  }

  /// What a thread wakes up for.
  enum Work {
    case task(UnownedJob)
    /// There are jobs. They stay in the queue, because a thread without a connection has to open one first.
    case jobs
  }

  /// Sleeps until there is work.
  /// - Parameter thread: from 0.
  /// - Returns: nil when the queue is closed and no task needs the thread.
  func awaitWork(_ thread: Int, hasConnection: Bool) -> Work? {
    locked {
      while taskJobs[thread].isEmpty, waiting.isEmpty, !isClosed {
        // Again after each spurious wake-up.
        addIdle(thread, hasConnection)
        pthread_cond_wait(waker(of: thread), lock)
      }
      idle.removeAll { $0 == thread }
      if taskJobs[thread].isEmpty { return isClosed ? nil : .jobs }
      // The wake-up may have been meant for the jobs.
      if !waiting.isEmpty { wakeOne() }
      return .task(taskJobs[thread].removeFirst())
    }
  }

  /// How many jobs no thread has taken yet.
  var countWaiting: Int { locked { waiting.count } }
  var countLost: Int { locked { lost } }
  var hasConnection: Bool { locked { connected > 0 } }
  var isOpen: Bool { locked { !isClosed } }
  var hasWork: Bool { locked { !waiting.isEmpty && !isClosed } }

  func dequeue() -> Job? { locked { waiting.isEmpty ? nil : waiting.removeFirst() } }

  /// Sleeps until `until`, or until the queue is closed or a task needs the thread.
  func pause(_ thread: Int, until: MonotonicInstant) {
    locked {
      var time = until.timespec
      while !isClosed, taskJobs[thread].isEmpty, MonotonicInstant.now() < until {
        pthread_cond_timedwait(waker(of: thread), lock, &time)
      }
    }
  }

  func connectionOpened() { locked { connected += 1 } }
  func connectionLost() {
    locked {
      connected -= 1
      lost += 1
    }
  }

  /// Leaves the work to another thread if one has a connection. Otherwise fails all pending work with the reason
  /// instead of letting it wait indefinitely.
  func connectFailed(_ error: PostgresError) {
    let failed: [Job] = locked {
      if connected > 0 {
        wakeOne()
        return []
      }
      let jobs = waiting
      waiting = []
      return jobs
    }
    for job in failed { job.fail(error) }
  }

  func threadEnded() {
    let isLast = locked {
      threads -= 1
      return threads == 0
    }
    if isLast { ended.open() }
  }
}

extension MonotonicInstant {
  /// For a wait on a condition that uses CLOCK_MONOTONIC.
  fileprivate var timespec: Glibc.timespec {
    Glibc.timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
  }
}
