/// The life of one thread of a pool: it opens its connection when there is work, keeps it while it lasts, and paces
/// its attempts when it cannot be had.
struct ConnectionThread {
  private let settings: PostgresSettings
  private let queue: JobQueue
  private let number: Int
  private var connection: PostgresConnection?
  private var failures = 0
  private var notBefore = Instant(nanoseconds: 0)

  private init(_ settings: PostgresSettings, _ queue: JobQueue, number: Int) {
    self.settings = settings
    self.queue = queue
    self.number = number
  }

  /// - Parameter number: from 0.
  static func start(_ settings: PostgresSettings, _ queue: JobQueue, number: Int, name: String) {
    let isStarted = Thread.detach(name: name, stackSize: 4 << 20) {
      var thread = ConnectionThread(settings, queue, number: number)
      thread.run()
      queue.threadEnded()
    }
    // Without a single thread nothing would ever answer; the system is out of threads, and the program with it.
    precondition(isStarted, "the operating system refused a thread")
  }

  private mutating func run() {
    while queue.awaitWork(number, hasConnection: connection != nil) {
      discardIfDead()
      guard let connection = connection ?? connect() else { continue }
      guard let job = queue.take() else { continue }
      let announce = job.run(connection)
      // A body that threw in the middle of a transaction must not hand it to the next.
      connection.abandonTransaction()
      discardIfDead()
      queue.isFree(number, hasConnection: self.connection != nil)
      announce()
    }
    // Freed here, on the thread that owns it, before the end is announced.
    connection = nil
  }

  private mutating func discardIfDead() {
    guard let connection, !connection.isAlive() else { return }
    self.connection = nil
    queue.connectionLost()
  }

  private mutating func connect() -> PostgresConnection? {
    if Instant.now() < notBefore {
      queue.pause(number, until: notBefore)
      // Closed, or the work is done by another: look again.
      guard queue.hasWork else { return nil }
    }
    do throws(PostgresError) {
      let fresh = try PostgresConnection.connect(settings)
      failures = 0
      connection = fresh
      queue.connectionOpened()
      return fresh
    } catch {
      failures += 1
      let pause = settings.backoff.pause(afterFailures: failures, random: Double.random(in: 0..<1))
      notBefore = Instant.now() + pause
      queue.connectFailed(error)
      return nil
    }
  }
}
