import FoundationEssentials
import Journey
import Testing

@testable import JourneyPostgres

/// Long work that is interrupted while it waits for a connection: that is no refusal of the database, so it returns how
/// far it came.
@Suite(.timeLimit(.minutes(2))) struct InterruptionTests: CommitTesting {
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
    let pool = await OccupiedPool(store)
    let task = Task { try await work() }
    await pool.isWaitedFor()
    task.cancel()
    let result = await task.result
    try await pool.release()
    return try result.get()
  }
}
