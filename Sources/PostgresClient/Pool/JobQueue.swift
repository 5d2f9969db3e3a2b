import ConnectionThreads
import Glibc

/// A piece of work for whichever thread of a pool takes it: it is settled exactly once, by what `run` returns or by
/// `fail`.
struct Job: Sendable {
  var id: UInt64
  /// Does the work. The result is for when the thread is free again: it tells the caller.
  var run: @Sendable (PostgresConnection) -> @Sendable () -> Void
  var fail: @Sendable (any Error) -> Void
}

/// The work that waits for a pool's threads, and what these threads must know of each other.
///
/// Of the threads that sleep, work wakes the one that worked last: its connection, and the server's process behind
/// that, is the warmest.
///
/// A lock and conditions of the operating system: threads sleep here, no task ever waits for more than the lock.
final class JobQueue: @unchecked Sendable {
  // Everything below is touched with the lock held only.
  private var waiting: [Job] = []
  /// What tasks that prefer a thread have for it, by thread.
  private var taskJobs: [[UnownedJob]]
  private var nextID: UInt64 = 0
  private var connected = 0
  private var threads: Int
  /// The threads that sleep until there is work, the one that worked last at the end.
  private var idle: [Int] = []
  private var isClosed = false
  /// Opens when the last thread has ended.
  let ended = Latch()

  // On the heap, since both must keep their address.
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let wakers: UnsafeMutableBufferPointer<pthread_cond_t>

  init(threads: Int) {
    self.threads = threads
    taskJobs = Array(repeating: [], count: threads)
    lock.initialize(to: pthread_mutex_t())
    pthread_mutex_init(lock, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    // The wall clock may jump.
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

  /// With the lock held. Where nobody sleeps, whoever ends its work looks for more.
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

  /// For one thread, and for nobody else.
  /// - Returns: false when the thread has ended or will soon.
  func submit(_ job: UnownedJob, to thread: Int) -> Bool {
    let isAccepted = locked {
      if isClosed { return false }
      taskJobs[thread].append(job)
      idle.removeAll { $0 == thread }
      return true
    }
    // Woken with the lock held, it would find the lock taken.
    if isAccepted { pthread_cond_signal(waker(of: thread)) }
    return isAccepted
  }

  /// Takes back a job that no thread has taken yet.
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

  /// Counts a thread among those that sleep. To be called before anybody learns that its work is done, so that what
  /// follows from that comes to it.
  /// - Parameter hasConnection: one without is woken after all others.
  func isFree(_ thread: Int, hasConnection: Bool) { locked { addIdle(thread, hasConnection) } }

  private func addIdle(_ thread: Int, _ hasConnection: Bool) {
    if !idle.contains(thread) { idle.insert(thread, at: hasConnection ? idle.endIndex : 0) }
  }

  /// What a thread is woken for.
  enum Work {
    case task(UnownedJob)
    /// There are jobs. They are left in the queue: a thread without a connection has to get one first.
    case jobs
  }

  /// Sleeps until there is work.
  /// - Parameter thread: from 0.
  /// - Returns: nil when the queue is closed and no task has anything left for the thread.
  func awaitWork(_ thread: Int, hasConnection: Bool) -> Work? {
    locked {
      while taskJobs[thread].isEmpty, waiting.isEmpty, !isClosed {
        // The system may wake it without a reason.
        addIdle(thread, hasConnection)
        pthread_cond_wait(waker(of: thread), lock)
      }
      idle.removeAll { $0 == thread }
      if taskJobs[thread].isEmpty { return isClosed ? nil : .jobs }
      // It may have been woken for the jobs.
      if !waiting.isEmpty { wakeOne() }
      return .task(taskJobs[thread].removeFirst())
    }
  }

  var hasConnection: Bool { locked { connected > 0 } }
  var isOpen: Bool { locked { !isClosed } }
  var hasWork: Bool { locked { !waiting.isEmpty && !isClosed } }

  func dequeue() -> Job? { locked { waiting.isEmpty ? nil : waiting.removeFirst() } }

  /// Sleeps until then; ends early when the queue is closed or a task has something for the thread.
  func pause(_ thread: Int, until: MonotonicInstant) {
    locked {
      var time = until.timespec
      while !isClosed, taskJobs[thread].isEmpty, MonotonicInstant.now() < until {
        pthread_cond_timedwait(waker(of: thread), lock, &time)
      }
    }
  }

  func connectionOpened() { locked { connected += 1 } }
  func connectionLost() { locked { connected -= 1 } }

  /// Work that nobody can do now fails with the reason, instead of waiting for an unknown time. While another thread
  /// has a connection, the work is left to it.
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
