import Dispatch
import Foundation
import PostgresClient

@testable import JourneyPostgres

/// All commit connections of a store in use, so that its work waits for them.
struct OccupiedPool {
  private let holders: [Task<Void, any Error>]
  private let released = DispatchSemaphore(value: 0)
  private let pool: PostgresPool

  /// Returns when every connection is in use.
  init(_ store: PostgresEventStore) async {
    let occupied = DispatchSemaphore(value: 0), released = released, pool = store.commits
    self.pool = pool
    holders = pool.executors.map { _ in
      Task {
        try await pool.perform { _ in
          occupied.signal()
          released.wait()
        }
      }
    }
    let count = holders.count
    await withCheckedContinuation { continuation in
      Thread.detachNewThread {
        for _ in 0..<count { occupied.wait() }
        continuation.resume()
      }
    }
  }

  /// Returns when something waits for a connection.
  func isWaitedFor() async { while pool.waiting == 0 { await Task.yield() } }

  func release() async throws {
    for _ in holders { released.signal() }
    for holder in holders { try await holder.value }
  }
}
