import Journey
import JourneyPostgres
import PostgresClient
import ServiceLifecycle
import Synchronization

/// Asks the database now and then whether it takes writes, so that a probe is answered at once even where the database
/// answers nothing.
final class DatabaseWatch: Service {
  private let worker: PostgresWorker
  private let health: Health
  private let interval: Duration
  private let answers = Atomic<Bool>(true)
  /// When the question was asked that has no answer yet.
  private let asked = Mutex<ContinuousClock.Instant?>(nil)

  /// - Parameter settings: their deadlines are shortened.
  init(_ settings: PostgresSettings, health: Health, interval: Duration = .seconds(3)) {
    var settings = settings
    settings.connectTimeout = min(settings.connectTimeout, .seconds(3))
    settings.statementTimeout = .seconds(2)
    settings.deadline = .seconds(3)
    worker = PostgresWorker(settings, name: "pg-watch")
    self.health = health
    self.interval = interval
  }

  /// Whether the database answered when it was asked last, and has not been silent for a second since it was asked
  /// again.
  var hasDatabase: Bool {
    answers.load(ordering: .relaxed) && asked.withLock { asked in asked.map { .now - $0 < .seconds(1) } ?? true }
  }

  func run() async throws {
    await cancelWhenGracefulShutdown { [self] in
      while !Task.isCancelled {
        await look()
        try? await Task.sleep(for: interval)
      }
    }
    await worker.close()
  }

  private func look() async {
    asked.withLock { $0 = .now }
    defer { asked.withLock { $0 = nil } }
    do {
      if let problem = try await WriteCheck.problem(worker) {
        health.failed(.database, problem)
      } else {
        health.succeeded(.database)
      }
      answers.store(true, ordering: .relaxed)
    } catch let error as PostgresError {
      answers.store(false, ordering: .relaxed)
      health.failed(.database, error.reason)
    } catch {
      // Cancelled: the process stops.
    }
  }
}
