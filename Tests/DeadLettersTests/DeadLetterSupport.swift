import TestSupport
import DeadLetters
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import Testing

/// An archive in a database of its own, worked on as the adapter's role.
struct DeadLetterFixture {
  let worker: PostgresWorker
  var archive: PostgresDeadLetterArchive { PostgresDeadLetterArchive(worker: worker, clock: DeadLetterClock()) }
  var repository: DeadLetterRepository { DeadLetterRepository(worker: worker, actor: "ann") }
  var replays: ReplayRepository { ReplayRepository(worker: worker, actor: "ann", clock: DeadLetterClock()) }

  static func run(_ body: (DeadLetterFixture) async throws -> Void) async throws {
    try await withDatabase { worker in
      try await worker.migrate()
      try await worker.run("SET ROLE journey_adapter")
      try await body(DeadLetterFixture(worker: worker))
    }
  }

  func all(_ states: [DeadLetterState] = []) async throws -> [ArchivedDeadLetter] {
    var filter = DeadLetterFilter()
    filter.states = states
    return try await repository.list(filter, limit: 1000, withBodies: true)
  }

  func request(_ filter: DeadLetterFilter? = nil, edit: String? = nil, isForced: Bool = false) throws -> ReplayRequest {
    var open = DeadLetterFilter()
    open.states = [.new]
    return ReplayRequest(
      filter: filter ?? open, edit: try edit.map { try JSONPatch(parsing: Array($0.utf8)) }, why: "because",
      isForced: isForced)
  }

  /// Replays everything that is open, confirmed at once.
  func replayAll(isForced: Bool = false) async throws {
    let (id, _) = try await replays.start(request(isForced: isForced))
    let store = replays.store(id, why: nil)
    while true {
      let items = try await store.claimed(after: nil, limit: 100)
      if items.isEmpty { break }
      try await store.record(items.map { ($0.deadLetterID, .confirmed) })
    }
    try await replays.finish(id)
  }
}

/// How the archive refuses a dead letter; nil where it takes it.
func refusal(of deadLetter: DeadLetter, by archive: PostgresDeadLetterArchive) async -> StoreError.Kind? {
  do throws(StoreError) {
    _ = try await archive.store([deadLetter])
    return nil
  } catch {
    return error.kind
  }
}

/// How a replay refuses to hand over its dead letters; nil where it does.
func refusal(of replay: ReplayClaim) async -> StoreError.Kind? {
  do throws(StoreError) {
    _ = try await replay.claimed(after: nil, limit: 1)
    return nil
  } catch {
    return error.kind
  }
}
