import FoundationEssentials
import PostgresClient
import Synchronization

/// Counts the map of an organisation anew while somebody looks at it.
///
/// A count waits until twenty times its own length has passed since the last, so that counting takes at most a
/// twentieth of one connection's time, however large the organisation is. What can be counted at once is; what takes
/// longer is counted behind the reader's back, who sees the last counts with their time.
final class MapCounter: Sendable {
  private let worker: PostgresWorker
  /// Organisations that are being counted behind somebody's back.
  private let running = Mutex<Set<UUID>>([])

  /// - Parameter worker: works as the adapter.
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
      // The next reader tries again.
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
