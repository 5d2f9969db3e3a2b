import FoundationEssentials
import Journey
import JourneyPipeline
import PostgresClient

/// What becomes of outbox batches whose way did not end in the process that committed them.
enum OutboxStatements {
  /// The batch is published but for the actions $2, which become a batch of their own that anyone may take after a pause. Only where this instance ($3)
  /// still holds it: another one may have taken it over meanwhile.
  static let release = PostgresStatement(
    name: "release_actions",
    """
    WITH closed AS (
      UPDATE journey_outbox SET confirmed_at = now() WHERE id = $1::uuid AND instance = $3::int4 AND confirmed_at IS NULL RETURNING attempts
    ), rest AS (
      INSERT INTO journey_outbox (id, actions, attempts, next_attempt_at)
      SELECT $4::uuid, cardinality($2::uuid[]), attempts + 1, now() + LEAST(interval '1 second' * 2 ^ LEAST(attempts, 10), interval '5 minutes')
      FROM closed RETURNING id
    )
    UPDATE client_journey_scores s SET outbox_id = rest.id FROM rest WHERE s.id = ANY($2::uuid[]) AND s.outbox_id = $1::uuid
    """)

  /// Takes batches over until they hold $3 actions. The `suspects` $4 bear this instance's number although it does not know how their transactions ended.
  static let claim = PostgresStatement(
    name: "claim_batches",
    """
    WITH live AS MATERIALIZED (
      SELECT objid::int8 AS instance FROM pg_locks
      WHERE locktype = 'advisory' AND classid = $2::int4::oid AND objsubid = 2 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ), abandoned AS (
      SELECT id, actions FROM journey_outbox
      WHERE confirmed_at IS NULL AND next_attempt_at <= now()
        AND (instance IS NULL OR instance NOT IN (SELECT instance FROM live) OR (id = ANY($4::uuid[]) AND instance = $1::int4))
      ORDER BY next_attempt_at, id LIMIT 500 FOR UPDATE SKIP LOCKED
    ), chosen AS (
      SELECT id FROM (SELECT id, sum(actions) OVER (ORDER BY id) - actions AS before FROM abandoned) AS summed WHERE before < $3::int4
    )
    UPDATE journey_outbox o SET instance = $1::int4 FROM chosen WHERE o.id = chosen.id RETURNING o.id
    """)

  /// The actions of batches with what their messages say. UUIDv7 ids are in the order of the decisions.
  static let actions = PostgresStatement(
    name: "outbox_actions",
    """
    SELECT s.outbox_id, s.id, s.client_id, s.org_id, c.name, c.email, c.phone, s.action, s.channel, s.priority, s.reason,
      s.score::float8, s.risk_level, s.recommended_actions, s.explanation, s.traceparent, s.generated_at, s.expires_at
    FROM client_journey_scores s
    JOIN contacts c ON c.id = s.client_id
    WHERE s.outbox_id = ANY($1::uuid[])
    ORDER BY s.outbox_id, s.id
    """)

  static func batches(_ result: PostgresResult, _ message: (RecommendedAction) -> ActionMessage) throws(PostgresError) -> [OutboxBatch] {
    var batches: [OutboxBatch] = []
    for row in 0..<result.rowCount {
      let id = try result.uuid(row, 0)
      if batches.last?.id != id { batches.append(OutboxBatch(id: id, actions: [])) }
      batches[batches.count - 1].actions.append(message(try action(result, row)))
    }
    return batches
  }

  private static func action(_ result: PostgresResult, _ row: Int) throws(PostgresError) -> RecommendedAction {
    let explanation = try JSONDocument.stored(result.json(row, 14))
    return RecommendedAction(
      id: try result.uuid(row, 1), clientID: try result.uuid(row, 2), orgID: try result.uuid(row, 3),
      name: try result.textIfPresent(row, 4), email: try result.textIfPresent(row, 5), phone: try result.textIfPresent(row, 6),
      action: try member(result.text(row, 7)), channel: Channel(rawValue: try result.text(row, 8)),
      priority: try member(result.text(row, 9)), reason: try result.text(row, 10), score: try result.double(row, 11),
      level: try member(result.text(row, 12)), stage: try member(explanation.root["stage"]?.string ?? ""),
      risks: explanation.root["risks"].map { Array($0.rawBytes) } ?? Array("[]".utf8), recommended: try compact(result.json(row, 13)),
      causeID: explanation.root["cause"]?["id"]?.string ?? "", traceparent: try result.textIfPresent(row, 15),
      decidedAt: Timestamp(microseconds: try result.timestamp(row, 16)),
      expiresAt: try result.timestampIfPresent(row, 17).map { Timestamp(microseconds: $0) },
      ruleVersion: explanation.root["ruleVersion"]?.string ?? "")
  }

  /// As it was sent: `jsonb` writes spaces.
  private static func compact(_ names: [UInt8]) throws(PostgresError) -> [UInt8] {
    var json = JSONWriter(reservingCapacity: names.count)
    json.beginArray()
    for name in try JSONDocument.stored(names).root.elements { json.string(name.string ?? "") }
    json.endArray()
    return json.bytes
  }

  private static func member<Word: RawRepresentable<String>>(_ text: String) throws(PostgresError) -> Word {
    guard let word = Word(rawValue: text) else {
      throw PostgresError(.decoding, operation: "outbox_actions", "\(Word.self) does not know the stored value \(text)")
    }
    return word
  }
}

extension JSONDocument {
  /// JSON from the database, which has checked it.
  fileprivate static func stored(_ bytes: [UInt8]) throws(PostgresError) -> JSONDocument {
    do throws(JSONError) {
      return try JSONDocument(parsing: bytes)
    } catch {
      throw PostgresError(.decoding, operation: "outbox_actions", "a stored JSON value cannot be read: \(error)")
    }
  }
}
