import FoundationEssentials
import Journey
import PostgresClient

/// The outcome stored in a client's state.
struct StoredState {
  static let columns = "s.stage, s.score, s.risk_level, array_to_string(s.risks, ','), s.due_at, s.check_at"
  static let columnCount = 6

  var stage: String?
  var score: Double?
  var level: String?
  var risks: String?
  var dueAt: Timestamp?
  var checkAt: Timestamp?

  init(_ result: PostgresResult, _ row: Int, from column: Int) throws(PostgresError) {
    stage = try result.textIfPresent(row, column)
    score = try result.doubleIfPresent(row, column + 1)
    level = try result.textIfPresent(row, column + 2)
    risks = try result.textIfPresent(row, column + 3)
    dueAt = try result.timestampIfPresent(row, column + 4).map { Timestamp(microseconds: $0) }
    checkAt = try result.timestampIfPresent(row, column + 5).map { Timestamp(microseconds: $0) }
  }

  func hasOutcome(of assessment: Assessment) -> Bool {
    stage == assessment.stage.rawValue && score == assessment.score && level == assessment.level.rawValue
      && risks == assessment.risks.map(\.risk.rawValue).joined(separator: ",")
  }

  /// Whether the times of the next evaluation are correct.
  func isUpToDate(_ assessment: Assessment, at now: Timestamp) -> Bool {
    guard dueAt == assessment.nextChange else { return false }
    guard let dueAt else { return checkAt == nil }
    return checkAt.map { $0 > now && $0 <= dueAt } ?? false
  }
}

/// Shared by evaluations without an event.
extension BatchCommit {
  /// The stored form of an empty summary.
  var emptySummary: [UInt8] { ClientSummary().encoded(under: decider.fingerprint) }

  /// Locks organisations, as the foreign keys of scores require.
  /// - Returns: the organisations that no other transaction holds.
  func lockOrganizations(_ orgs: [UUID]) throws(PostgresError) -> Set<UUID> {
    let answer = try connection.execute(
      StateStatements.lockOrganizations, PostgresParameters { $0.uuids(Set(orgs).sorted()) })
    var free: Set<UUID> = []
    for row in 0..<answer.rowCount { free.insert(try answer.uuid(row, 0)) }
    return free
  }

  /// Resets the states of clients that have no events.
  func clearing(_ clients: [UUID]) -> [(PostgresStatement, PostgresParameters)] {
    guard !clients.isEmpty else { return [] }
    let parameters = PostgresParameters {
      $0.uuids(clients)
      $0.byteas(clients.map { _ in emptySummary })
    }
    return [(StateStatements.clear, parameters)]
  }
}

enum StateStatements {
  static let lockOrganizations = PostgresStatement(
    name: "lock_organizations_of_states", "SELECT journey_lock_organizations($1::uuid[])")

  /// Resets states; $2 are empty summaries.
  static let clear = PostgresStatement(
    name: "clear_states",
    """
    UPDATE journey_client_state s
    SET summary = i.summary, check_at = NULL, due_at = NULL, stage = NULL, stage_at = NULL, score = NULL, risk_level = NULL, risks = '{}',
      last_event_at = NULL
    FROM (SELECT unnest($1::uuid[]) AS client_id, unnest($2::bytea[]) AS summary) AS i
    WHERE s.client_id = i.client_id
    """)
}
