import FoundationEssentials
import Journey
import PostgresClient

/// How a client stands at the moment of reading, although nobody has evaluated it since time passed or the host
/// application changed something. Nothing is stored of it: the next evaluation, or the next look at clients for whom
/// the time has come, does that.
struct Standing {
  /// nil: the client has no events, and there is nothing to say.
  let evaluation: Evaluation?
  let summary: ClientSummary
  /// The moment by the database's clock.
  let asOf: Timestamp
  /// Whether it is what is stored: then what caused that is its cause. Otherwise time has passed, or the host has
  /// changed something, and nothing that is stored led to it.
  let isStored: Bool
  let ruleVersion: String

  /// A JSON object for the statements of `ClientSQL`.
  var json: [UInt8] {
    var json = JSONWriter(reservingCapacity: 1024)
    json.beginObject()
    json.member("asOf", asOf)
    guard let evaluation else {
      json.key("isNothing")
      json.bool(true)
      json.endObject()
      return json.bytes
    }
    let assessment = evaluation.assessment
    json.key("isStored")
    json.bool(isStored)
    json.member("stage", unescaped: assessment.stage.rawValue)
    json.member("stageSince", summary.stage?.stamp.at)
    json.member("lastEventAt", summary.lastEventAt)
    json.member("nextChangeAt", assessment.nextChange)
    json.key("score")
    json.double(assessment.score)
    json.member("riskLevel", unescaped: assessment.level.rawValue)
    json.member("priority", unescaped: assessment.priority.rawValue)
    json.key("recommendedActions")
    assessment.writeRecommendedActions(into: &json)
    json.key("explanation")
    json.raw(explanation(of: evaluation))
    json.endObject()
    return json.bytes
  }

  /// As a score's explanation, but for the cause.
  func explanation(of evaluation: Evaluation) -> [UInt8] {
    var risks = JSONWriter(reservingCapacity: 256)
    evaluation.assessment.writeRisks(into: &risks)
    var json = JSONWriter(reservingCapacity: 1024)
    json.beginObject()
    evaluation.writeOutcome(ruleVersion: ruleVersion, risks: risks.bytes, into: &json)
    json.endObject()
    return json.bytes
  }
}

/// A client as it is found for a reader.
struct FoundClient {
  fileprivate var client: ClientSnapshot
  /// Whether its summary has yet to be made from the stored events.
  fileprivate(set) var isUnread: Bool
  fileprivate var latest: UUID?
  fileprivate var stored: StoredState

  var id: UUID { client.id }
}

/// Finds clients and says how they stand.
struct StandingReader: Sendable {
  private let rules: DecisionRules
  private let fingerprint: UInt64
  private let history: SummaryRebuild
  private let clockOffset: TimeSpan

  /// - Parameter clockOffset: how far from the database's clock the moment of reading is; for tests and simulations.
  init(rules: DecisionRules, clockOffset: TimeSpan = .seconds(0)) {
    self.rules = rules
    fingerprint = rules.stateFingerprint
    history = SummaryRebuild(signals: rules.signals)
    self.clockOffset = clockOffset
  }

  static func find(_ client: UUID) -> (PostgresStatement, PostgresParameters) {
    (find, PostgresParameters { $0.uuid(client) })
  }

  /// A client without a state has no events; one that has become part of another is nobody.
  private static let find = PostgresStatement(
    name: "read_state",
    """
    SELECT COALESCE(s.summary, ''), COALESCE(s.outreach, ''), s.scored_at, c.org_id, c.name::text, c.email::text, c.phone::text,
      \(HostValues.double("c.ai_score")), clock_timestamp(), c.id,
      (SELECT id FROM client_journey_scores WHERE client_id = c.id AND \(HostValues.isTime("generated_at")) ORDER BY generated_at DESC LIMIT 1),
      EXISTS (SELECT FROM client_journey_events e WHERE e.client_id = c.id), \(StoredState.columns)
    FROM contacts c LEFT JOIN journey_client_state s ON s.client_id = c.id
    WHERE c.id = $1::uuid AND s.merged_into IS NULL
    """)

  /// - Returns: nil where it is nobody whom the reader may see.
  func client(_ result: PostgresResult) throws(PostgresError) -> FoundClient? {
    guard result.rowCount > 0 else { return nil }
    let locked = try LockedClient(result, 0, from: 0).moved(by: clockOffset)
    let (client, isUnread) = locked.snapshot(id: try result.uuid(0, 9), under: fingerprint)
    let hasEvents = try result.bool(0, 11)
    return FoundClient(
      client: client, isUnread: isUnread && hasEvents, latest: try result.uuidIfPresent(0, 10),
      stored: try StoredState(result, 0, from: 12))
  }

  /// Makes the summary of a client from its stored events, as an evaluation would.
  /// - Parameter connection: works as the adapter's role.
  func read(_ found: inout FoundClient, on connection: PostgresConnection) throws(PostgresError) {
    let client = PostgresParameters { $0.uuids([found.id]) }
    let tracksInvoices = rules.risks.lateInvoices == .untilSettled
    var commands = [(history.newest, client)]
    if tracksInvoices { commands.append((history.late, InvoiceUpdates.lateParameters([found.id]))) }
    let answers = try connection.pipeline(commands)
    found.client.summary = try history.summaries(answers[0])[found.id] ?? ClientSummary()
    if tracksInvoices { found.client.lateInvoices = try InvoiceUpdates.late(answers[1])[found.id] }
    found.isUnread = false
  }

  func standing(of found: FoundClient) -> Standing {
    let client = found.client
    // Where time is not followed up, each answer is calculated, as the design document's service does: also for
    // somebody who was never heard of.
    let isKnown = client.summary.lastEventAt != nil || !rules.evaluatesOverTime
    let evaluation = isKnown ? rules.standing(of: client, after: found.latest) : nil
    return Standing(
      evaluation: evaluation, summary: client.summary, asOf: client.now,
      isStored: evaluation.map { found.stored.hasOutcome(of: $0.assessment) } ?? false, ruleVersion: rules.version)
  }
}
