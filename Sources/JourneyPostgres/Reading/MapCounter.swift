import FoundationEssentials
import PostgresClient
import Synchronization

/// Counts the map of an organisation again while it is being read.
///
/// The next count starts after twenty times the duration of the last one, so counting takes at most a twentieth of one
/// connection's time. A short count runs before the answer. A long one runs in the background, and the reader gets the
/// last counts with their time.
final class MapCounter: Sendable {
  private let worker: PostgresWorker
  /// Organisations that are being counted in the background.
  private let running = Mutex<Set<UUID>>([])

  /// - Parameter worker: works as the adapter's role.
  init(worker: PostgresWorker) { self.worker = worker }

  struct Age: Sendable {
    var orgID: UUID
    var isMissing: Bool
    var stagesAreSlow: Bool
    var flowsAreSlow: Bool
    var stagesAreOld: Bool
    var flowsAreOld: Bool
  }

  func refresh(_ ages: [Age]) async throws {
    for age in ages {
      if age.isMissing || (age.stagesAreOld && !age.stagesAreSlow) {
        try await count(age.orgID, MapSQL.countStages, MapSQL.noteStages)
      } else if age.stagesAreOld {
        later(age.orgID, MapSQL.countStages, MapSQL.noteStages)
      }
      if age.flowsAreOld {
        if age.isMissing || age.flowsAreSlow {
          later(age.orgID, MapSQL.countFlows, MapSQL.noteFlows)
        } else {
          try await count(age.orgID, MapSQL.countFlows, MapSQL.noteFlows)
        }
      }
    }
  }

  private func later(_ org: UUID, _ count: PostgresStatement, _ record: PostgresStatement) {
    guard running.withLock({ $0.insert(org).inserted }) else { return }
    Task {
      // If this fails, the next reader starts another count.
      try? await self.count(org, count, record)
      running.withLock { _ = $0.remove(org) }
    }
  }

  private func count(_ org: UUID, _ count: PostgresStatement, _ record: PostgresStatement) async throws {
    try await worker.perform { connection in
      let parameters = PostgresParameters { $0.uuid(org) }
      let isMine = try connection.pipeline([(.begin, PostgresParameters()), (MapSQL.lock, parameters)])[1].bool(0, 0)
      guard isMine else { return try connection.rollback() }
      _ = try connection.pipeline([(count, parameters), (record, parameters), (.commit, PostgresParameters())])
    }
  }
}
