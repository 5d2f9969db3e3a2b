import FoundationEssentials
import Journey
import PostgresClient

/// A client's evaluation at the time of reading. It may differ from the stored one, because time has passed or the host
/// application has changed something. It is not stored: the next evaluation does that.
struct Standing {
  /// nil: the client has no events.
  let evaluation: Evaluation?
  let summary: ClientSummary
  /// The time of reading, by the database's clock.
  let asOf: Timestamp
  /// Whether it equals the stored evaluation, and so has the same cause. Otherwise no stored event caused it.
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

  /// The explanation of a score, without the cause.
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

/// A client as read from the database.
struct FoundClient {
  fileprivate var client: ClientSnapshot
  /// Whether its summary has to be rebuilt from the stored events.
  fileprivate(set) var isUnread: Bool
  fileprivate var latest: UUID?
  fileprivate var stored: StoredState

  var id: UUID { client.id }
}

/// Finds clients and evaluates them at the time of reading.
struct StandingReader: Sendable {
  private let rules: DecisionRules
  private let fingerprint: UInt64
  private let history: SummaryRebuild
  private let clockOffset: TimeSpan

  /// - Parameter clockOffset: added to the database's clock; for tests and simulations.
  init(rules: DecisionRules, clockOffset: TimeSpan = .seconds(0)) {
    self.rules = rules
    fingerprint = rules.stateFingerprint
    history = SummaryRebuild(rules)
    self.clockOffset = clockOffset
  }

  static func find(_ client: UUID) -> (PostgresStatement, PostgresParameters) {
    (find, PostgresParameters { $0.uuid(client) })
  }

  /// Excludes clients without a state, which have no events, and clients that were merged into another.
  private static let find = PostgresStatement(
    name: "read_state",
    """
    SELECT \(LockedClient.columns), c.id,
      (SELECT id FROM client_journey_scores WHERE client_id = c.id AND \(HostValues.isTime("generated_at")) ORDER BY generated_at DESC LIMIT 1),
      EXISTS (SELECT FROM client_journey_events e WHERE e.client_id = c.id),
      (SELECT min(f.frozen_since) FROM journey_feeds f WHERE f.org_id = c.org_id), \(StoredState.columns)
    FROM contacts c LEFT JOIN journey_client_state s ON s.client_id = c.id
    WHERE c.id = $1::uuid AND s.merged_into IS NULL
    """)

  /// - Returns: nil if the reader may see no such client.
  func client(_ result: PostgresResult) throws(PostgresError) -> FoundClient? {
    guard result.rowCount > 0 else { return nil }
    let own = LockedClient.columnCount
    let locked = try LockedClient(result, 0, from: 0).moved(by: clockOffset)
    var (client, isUnread) = locked.snapshot(id: try result.uuid(0, own), under: fingerprint)
    let hasEvents = try result.bool(0, own + 2)
    if rules.feedOutage != nil {
      client.frozenSince = try result.timestampIfPresent(0, own + 3).map { Timestamp(microseconds: $0) }
    }
    return FoundClient(
      client: client, isUnread: isUnread && hasEvents, latest: try result.uuidIfPresent(0, own + 1),
      stored: try StoredState(result, 0, from: own + 4))
  }

  /// Rebuilds the client's summary from its stored events.
  /// - Parameter connection: works as the adapter's role.
  func read(_ found: inout FoundClient, on connection: PostgresConnection) throws(PostgresError) {
    let client = PostgresParameters { $0.uuids([found.id]) }
    let tracksInvoices = rules.risks.lateInvoices == .untilSettled
    var commands = [(history.newest, client)]
    if tracksInvoices { commands.append((history.late, InvoiceUpdates.lateParameters([found.id]))) }
    let answers = try connection.pipeline(commands)
    found.client.summary = try history.summaries(answers[0])[found.id] ?? ClientSummary()
    found.client.actionHistory.replaceEventBlocks(by: try history.blocks(answers[0])[found.id] ?? [])
    if tracksInvoices { found.client.lateInvoices = try InvoiceUpdates.late(answers[1])[found.id] }
    found.isUnread = false
  }

  /// What would have to be otherwise for another winner or level.
  func whatIf(_ found: FoundClient) -> WhatIf { rules.whatIf(found.client, after: found.latest) }

  /// When what stands in the way of a candidate is over by itself, for each candidate of an evaluation.
  func openings(of evaluation: Evaluation, _ found: FoundClient) -> [Timestamp?] {
    evaluation.decision.verdicts.map { rules.opens($0, in: found.client.actionHistory) }
  }

  func standing(of found: FoundClient) -> Standing {
    let client = found.client
    // Without evaluation over time each answer is computed on request, also for a client without events.
    let isKnown = client.summary.lastEventAt != nil || !rules.evaluatesOverTime
    let evaluation = isKnown ? rules.standing(of: client, after: found.latest) : nil
    return Standing(
      evaluation: evaluation, summary: client.summary, asOf: client.now,
      isStored: evaluation.map { found.stored.hasOutcome(of: $0.assessment) } ?? false, ruleVersion: rules.version)
  }
}
