import Dispatch
import Foundation
import PostgresClient

@testable import TestSupport

/// A session of the host application that holds its locks until `letGo()`.
final class HostSession: Sendable {
  private let worker: PostgresWorker
  private let end = DispatchSemaphore(value: 0)
  private let transaction: Task<Void, any Error>

  private init(_ worker: PostgresWorker, _ transaction: @escaping @Sendable (DispatchSemaphore) async throws -> Void) {
    self.worker = worker
    self.transaction = Task { [end] in try await transaction(end) }
  }

  /// Begins a transaction, runs the statements in it, and returns after them.
  static func holding(_ environment: TestEnvironment, _ statements: [String]) async throws -> HostSession {
    var settings = try PostgresSettings(conninfo: environment.databaseURL, applicationName: "host")
    settings.idleInTransactionTimeout = .seconds(600)
    let worker = PostgresWorker(settings, name: "pg-host")
    let (held, hold) = AsyncThrowingStream.makeStream(of: Void.self)
    let session = HostSession(worker) { end in
      do {
        try await worker.perform { connection in
          try connection.begin()
          for statement in statements { try connection.execute(statement) }
          hold.finish()
          // Blocks the connection's own thread, which has no other work.
          end.wait()
          try connection.commit()
        }
      } catch {
        hold.finish(throwing: error)
        throw error
      }
    }
    for try await _ in held {}
    return session
  }

  /// Commits, and throws the error if there was one.
  func letGo() async throws {
    end.signal()
    let result = await transaction.result
    await worker.close()
    try result.get()
  }
}
