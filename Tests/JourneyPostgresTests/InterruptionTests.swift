import Dispatch
import Foundation
import Journey
import PostgresClient
import Testing

@testable import JourneyPostgres

/// Long work that is interrupted while it waits for a connection: that is no refusal of the database, so it returns how
/// far it came.
@Suite struct InterruptionTests: CommitTesting {
  private struct NoMapper: RawMessageMapper {
    func map(_ record: ArraySlice<UInt8>) -> RemappedMessage? { nil }
  }

  private static let author = EventChangeAuthor(run: UUID(), actor: "ann", why: "a wrong rule")

  @Test func itReturnsItsProgress() async throws {
    try await withStores { stores, _ in
      let store = stores[0]
      let recompute = try await interrupted(store) { try await Recompute().run(on: store).isComplete }
      #expect(!recompute)
      let voiding = try await interrupted(store) {
        try await EventVoiding(EventSelection(), author: Self.author).run(on: store).isComplete
      }
      #expect(!voiding)
      let remap = try await interrupted(store) {
        try await EventRemap(source: "crm", author: Self.author).run(on: store, mapper: NoMapper()).isComplete
      }
      #expect(!remap)
    }
  }

  /// Runs `work` while all connections are in use, and cancels it as soon as it waits for one.
  private func interrupted(
    _ store: PostgresEventStore, _ work: @escaping @Sendable () async throws -> Bool
  ) async throws -> Bool {
    let occupied = DispatchSemaphore(value: 0), released = DispatchSemaphore(value: 0)
    let holders = store.commits.executors.map { _ in
      Task {
        try await store.commits.perform { _ in
          occupied.signal()
          released.wait()
        }
      }
    }
    await withCheckedContinuation { continuation in
      Thread.detachNewThread {
        for _ in holders { occupied.wait() }
        continuation.resume()
      }
    }
    let task = Task { try await work() }
    while store.commits.waitingCount == 0 { await Task.yield() }
    task.cancel()
    let result = await task.result
    for _ in holders { released.signal() }
    for holder in holders { try await holder.value }
    return try result.get()
  }
}
