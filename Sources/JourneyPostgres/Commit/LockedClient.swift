import FoundationEssentials
import Journey
import PostgresClient

/// A client as read under its lock: its contact, and its state in stored form.
struct LockedClient {
  var orgID: UUID
  var name: String?
  var email: String?
  var phone: String?
  var aiScore: Double?
  /// The contact's and its organisation's.
  var timeZones: [String?]
  var summary: [UInt8]
  var actionHistory: [UInt8]
  var lastEvaluation: Timestamp?
  var now: Timestamp

  /// Columns of a state `s`, which may be missing, and its contact `c`. An `ai_score` that does not fit a double counts as
  /// missing.
  static let columns = """
    COALESCE(s.summary, ''), COALESCE(s.outreach, ''), s.scored_at, c.org_id, c.name::text, c.email::text, c.phone::text,
      \(HostValues.double("c.ai_score")), clock_timestamp(), c.time_zone::text,
      (SELECT o.time_zone::text FROM organizations o WHERE o.id = c.org_id LIMIT 1)
    """

  static let columnCount = 11

  init(_ result: PostgresResult, _ row: Int, from column: Int) throws(PostgresError) {
    summary = try result.bytes(row, column)
    actionHistory = try result.bytes(row, column + 1)
    lastEvaluation = try result.timestampIfPresent(row, column + 2).map { Timestamp(microseconds: $0) }
    orgID = try result.uuid(row, column + 3)
    name = try result.textIfPresent(row, column + 4)
    email = try result.textIfPresent(row, column + 5)
    phone = try result.textIfPresent(row, column + 6)
    aiScore = try result.doubleIfPresent(row, column + 7)
    now = Timestamp(microseconds: try result.timestamp(row, column + 8))
    timeZones = [try result.textIfPresent(row, column + 9), try result.textIfPresent(row, column + 10)]
  }

  /// The same at another time.
  func moved(by offset: TimeSpan) -> LockedClient {
    var moved = self
    moved.now = now + offset
    return moved
  }

  /// - Returns: the client for an evaluation, and whether its summary has to be rebuilt from stored events.
  func snapshot(id: UUID, under fingerprint: UInt64) -> (client: ClientSnapshot, isUnread: Bool) {
    let summary = ClientSummary(encoded: summary, under: fingerprint)
    var client = ClientSnapshot(
      id: id, orgID: orgID, name: name, email: email, phone: phone, aiScore: aiScore,
      summary: summary ?? ClientSummary(),
      actionHistory: ActionHistory(encoded: actionHistory) ?? ActionHistory(), lateInvoices: nil, now: now,
      lastEvaluation: lastEvaluation)
    client.timeZones = timeZones
    return (client, summary == nil)
  }
}
