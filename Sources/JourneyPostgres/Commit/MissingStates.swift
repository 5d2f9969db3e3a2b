import FoundationEssentials
import PostgresClient

/// Adds states for clients without one, in separate transactions, so that they hold no other lock while they wait for
/// an instance that adds the same state. The wait is short, because the batch's actions are published after it. If one
/// client has to be waited for, the others are added one by one.
struct MissingStates {
  let connection: PostgresConnection
  /// The organisation of each client.
  let clients: [UUID: UUID]

  /// - Returns: the clients that still have no state, because another transaction holds them.
  func insert() throws(PostgresError) -> Set<UUID> {
    let ids = clients.keys.sorted()
    guard !ids.isEmpty else { return [] }
    do throws(PostgresError) {
      return try add(ids, within: .milliseconds(200))
    } catch {
      guard error.isLockTimeout else { throw error }
      if ids.count == 1 { return Set(ids) }
    }
    var held = Set(ids)
    for id in ids.prefix(Self.maxAlone) {
      do throws(PostgresError) {
        if try add([id], within: .milliseconds(20)).isEmpty { held.remove(id) }
      } catch {
        guard error.isLockTimeout else { throw error }
      }
    }
    return held
  }

  private static let maxAlone = 20

  private func add(_ ids: [UUID], within limit: Duration) throws(PostgresError) -> Set<UUID> {
    let parameters = PostgresParameters {
      $0.uuids(ids)
      $0.uuids(Array(Set(ids.compactMap { clients[$0] })))
    }
    let answers = try connection.pipeline([
      (.begin, PostgresParameters()), CommitStatements.limitWait(limit), (CommitStatements.addFreeStates, parameters),
      (.commit, PostgresParameters()),
    ])
    var held = Set(ids)
    for row in 0..<answers[2].rowCount { held.remove(try answers[2].uuid(row, 0)) }
    return held
  }
}

extension PostgresError {
  /// `lock_not_available`: a lock was not granted within `lock_timeout`.
  fileprivate var isLockTimeout: Bool { sqlState == "55P03" }
}
