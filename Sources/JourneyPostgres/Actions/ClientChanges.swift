import FoundationEssentials
import Journey
import PostgresClient

/// What the evaluations of a batch change of clients, for the feed of changes.
struct ClientChangeColumns {
  private var rows: [(client: ClientSnapshot, evaluation: Evaluation, id: UUID, cause: [UInt8])] = []

  var isEmpty: Bool { rows.isEmpty }

  mutating func add(_ client: ClientSnapshot, _ last: Evaluation, id: UUID) {
    var json = JSONWriter(reservingCapacity: 128)
    last.writeCause(into: &json)
    rows.append((client, last, id, json.bytes))
  }

  func parameters(outboxID: UUID) -> PostgresParameters {
    PostgresParameters {
      $0.uuids(rows) { $0.id }
      $0.uuids(rows) { $0.client.id }
      $0.uuids(rows) { $0.client.orgID }
      $0.timestamptzs(rows) { $0.evaluation.at.microseconds }
      $0.jsons(rows) { $0.cause }
      $0.texts(rows) { $0.evaluation.assessment.stage.rawValue }
      $0.texts(rows) { $0.evaluation.assessment.level.rawValue }
      $0.float8s(rows) { $0.evaluation.assessment.score }
      $0.texts(rows) { $0.evaluation.nextAction?.rawValue }
      $0.uuid(outboxID)
    }
  }
}

enum ClientChangeStatements {
  private static let columns = "id, client_id, org_id, at, cause::text, changes::text, stage, risk_level"

  /// Records what differs from the clients' states, which are locked and not yet written. $10 is the outbox batch.
  static let record = PostgresStatement(
    name: "record_client_changes",
    """
    WITH i AS MATERIALIZED (
      SELECT unnest($1::uuid[]) AS id, unnest($2::uuid[]) AS client_id, unnest($3::uuid[]) AS org_id,
        unnest($4::timestamptz[]) AS at, unnest($5::json[]) AS cause, unnest($6::text[]) AS stage,
        unnest($7::text[]) AS risk_level, unnest($8::float8[]) AS score, unnest($9::text[]) AS next_action
    ), changed AS MATERIALIZED (
      SELECT i.*, s.next_action IS DISTINCT FROM i.next_action AS has_next,
        json_strip_nulls(json_build_object(
          'stage', CASE WHEN s.stage IS DISTINCT FROM i.stage THEN json_build_object('from', s.stage, 'to', i.stage) END,
          'riskLevel', CASE WHEN s.risk_level IS DISTINCT FROM i.risk_level
            THEN json_build_object('from', s.risk_level, 'to', i.risk_level) END,
          'score', CASE WHEN s.score IS DISTINCT FROM i.score THEN json_build_object('from', s.score, 'to', i.score) END,
          'nextAction', CASE WHEN s.next_action IS DISTINCT FROM i.next_action
            THEN json_build_object('from', s.next_action, 'to', i.next_action) END)) AS changes
      FROM i JOIN journey_client_state s ON s.client_id = i.client_id
      WHERE (s.stage, s.risk_level, s.score, s.next_action) IS DISTINCT FROM (i.stage, i.risk_level, i.score, i.next_action)
    ), remembered AS (
      UPDATE journey_client_state s SET next_action = c.next_action FROM changed c
      WHERE s.client_id = c.client_id AND c.has_next
    )
    INSERT INTO journey_client_changes (id, client_id, org_id, at, cause, changes, stage, risk_level, outbox_id)
    SELECT id, client_id, org_id, at, cause, changes, stage, risk_level, $10::uuid FROM changed ORDER BY client_id
    RETURNING \(columns)
    """)

  /// Adds the outbox batch $1 of $2 actions, $3 being the instance, with the changes recorded for it; none if it is empty.
  static let insertOutbox = PostgresStatement(
    name: "insert_outbox_with_changes",
    """
    INSERT INTO journey_outbox (id, actions, instance)
    SELECT $1::uuid, n.count, $3::int4
    FROM (SELECT $2::int4 + count(*)::int4 AS count FROM journey_client_changes WHERE outbox_id = $1::uuid) n WHERE n.count > 0
    """)

  /// The changes of batches, in their order.
  static let ofBatches = PostgresStatement(
    name: "outbox_changes",
    """
    SELECT \(columns), outbox_id FROM journey_client_changes WHERE outbox_id = ANY($1::uuid[]) ORDER BY outbox_id, id
    """)
}

extension ClientChange {
  /// - Returns: nil if the row has a value that this version does not know.
  init?(_ result: PostgresResult, _ row: Int) throws(PostgresError) {
    guard let stage = Stage(rawValue: try result.text(row, 6)), let level = RiskLevel(rawValue: try result.text(row, 7))
    else { return nil }
    self.init(
      id: try result.uuid(row, 0), clientID: try result.uuid(row, 1), orgID: try result.uuid(row, 2),
      at: Timestamp(microseconds: try result.timestamp(row, 3)), cause: Array(try result.text(row, 4).utf8),
      changes: Array(try result.text(row, 5).utf8), stage: stage, level: level)
  }
}
