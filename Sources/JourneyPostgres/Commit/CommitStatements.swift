import Journey
import PostgresClient

/// The statements of a batch commit. Each takes a whole batch as arrays, so their number does not depend on its size.
///
/// Statements that run for every event unnest arrays in the SELECT list. In FROM, the server would copy each array into
/// a tuple store first.
enum CommitStatements {
  /// Adds states for new clients. The summary stays empty until it is built from the stored events.
  static let addStates = PostgresStatement(
    name: "add_states",
    """
    INSERT INTO journey_client_state (client_id, org_id)
    SELECT * FROM unnest($1::uuid[], $2::uuid[])
    ON CONFLICT (client_id) DO NOTHING
    """)

  /// The same for clients that no other transaction holds; $2 are the organisations. Returns the clients that have a
  /// state now. The referenced rows are locked first, so it waits only for a transaction that adds the same state.
  static let addFreeStates = PostgresStatement(
    name: "add_free_states",
    """
    WITH k AS MATERIALIZED (
      SELECT c.id, c.org_id FROM contacts c
      WHERE c.id = ANY($1::uuid[]) AND c.org_id = ANY (ARRAY(SELECT journey_lock_organizations($2::uuid[])))
      FOR KEY SHARE SKIP LOCKED
    ), added AS (
      INSERT INTO journey_client_state (client_id, org_id) SELECT id, org_id FROM k ORDER BY id ON CONFLICT (client_id) DO NOTHING
    )
    SELECT id FROM k
    """)

  /// Locks clients that have a state, except those that another transaction holds.
  static let lockClients = PostgresStatement(
    name: "lock_clients",
    """
    SELECT s.client_id, \(LockedClient.columns)
    FROM journey_client_state s JOIN contacts c ON c.id = s.client_id
    WHERE s.client_id = ANY($1::uuid[]) AND s.merged_into IS NULL
    FOR UPDATE OF s SKIP LOCKED
    """)

  /// Sets the lock timeout for the rest of the transaction.
  static func limitWait(_ limit: Duration) -> (PostgresStatement, PostgresParameters) {
    (limitWait, PostgresParameters { $0.text("\(Int64(limit / .milliseconds(1)))ms") })
  }

  private static let limitWait = PostgresStatement(
    name: "limit_wait", "SELECT set_config('lock_timeout', $1::text, true)")

  /// The positions of events that are stored already. Runs after the clients are locked, so it sees everything that was
  /// committed for them before.
  static let findStored = PostgresStatement(
    name: "find_stored_events",
    """
    SELECT i.position FROM (
      SELECT unnest($1::uuid[]) AS org_id, unnest($2::text[]) AS source, unnest($3::text[]) AS source_event_id,
        generate_subscripts($1::uuid[], 1) AS position) AS i
    CROSS JOIN LATERAL (
      SELECT FROM client_journey_events e
      WHERE e.org_id = i.org_id AND e.source = i.source AND e.source_event_id = i.source_event_id LIMIT 1) AS stored
    """)

  /// Stores new events. A row that does not set the stage gets the client's stage at its time. If the event is so old
  /// that the state does not tell the stage, it is looked up among the 100 stored events before it, starting from the
  /// newest one in the batch (`hint`).
  static let insertEvents = PostgresStatement(
    name: "insert_events",
    """
    INSERT INTO client_journey_events
      (id, client_id, org_id, stage, event_type, metadata, occurred_at, source, source_event_id, sets_stage, min_stage, acted_by,
       origin_id)
    SELECT i.id, i.client_id, i.org_id,
      CASE WHEN i.min_stage IS NULL OR array_position(\(stages), i.stage) >= array_position(\(stages), i.min_stage) THEN i.stage
        ELSE i.min_stage END,
      i.event_type, i.metadata, i.occurred_at, i.source, i.source_event_id, i.sets_stage, i.min_stage, i.acted_by, i.origin_id
    FROM (
      SELECT i.id, i.client_id, i.org_id,
        COALESCE(i.stage, (
          SELECT r.stage FROM (
            SELECT e.stage, e.sets_stage OR e.min_stage IS NOT NULL AS tells_stage FROM client_journey_events e
            WHERE e.client_id = i.client_id AND e.voided_at IS NULL AND e.occurred_at <= i.occurred_at AND e.occurred_at > COALESCE(i.hint_at, '-infinity')
            ORDER BY e.occurred_at DESC, e.source_event_id DESC LIMIT 100) AS r
          WHERE r.tells_stage LIMIT 1), i.hint, 'lead') AS stage,
        i.event_type, i.metadata, i.occurred_at, i.source, i.source_event_id, i.sets_stage, i.min_stage, i.acted_by, i.origin_id
      FROM (
      SELECT unnest($1::uuid[]) AS id, unnest($2::uuid[]) AS client_id, unnest($3::uuid[]) AS org_id, unnest($4::text[]) AS stage,
        unnest($5::text[]) AS event_type, unnest($6::jsonb[]) AS metadata, unnest($7::timestamptz[]) AS occurred_at, unnest($8::text[]) AS source,
        unnest($9::text[]) AS source_event_id, unnest($10::bool[]) AS sets_stage, unnest($11::text[]) AS hint, unnest($12::timestamptz[]) AS hint_at, unnest($13::text[]) AS min_stage, unnest($14::text[]) AS acted_by,
        unnest($15::uuid[]) AS origin_id) AS i) AS i
    """)

  /// In the order of the journey.
  static let stages = "ARRAY[\(Stage.allCases.map { "'\($0.rawValue)'" }.joined(separator: ","))]"

  /// Fails if one of the clients $1 is no longer part of the one of $2 at the same position. Runs under the locks of $2.
  static let requireOrigins = PostgresStatement(
    name: "require_origins", "SELECT journey_require_origins($1::uuid[], $2::uuid[])")

  /// Inserts scores, each with its action if there is one; $17 is the outbox batch of these actions.
  static let insertScores = PostgresStatement(
    name: "insert_scores",
    """
    INSERT INTO client_journey_scores
      (id, client_id, org_id, score, risk_level, recommended_actions, generated_at, event_id, explanation, action, channel, priority, reason,
       traceparent, expires_at, inputs, outbox_id)
    SELECT id, client_id, org_id, score::numeric, risk_level, recommended_actions, generated_at, event_id, explanation, action, channel, priority,
      reason, traceparent, expires_at, inputs, CASE WHEN action IS NOT NULL THEN $17::uuid END
    FROM (
      SELECT unnest($1::uuid[]) AS id, unnest($2::uuid[]) AS client_id, unnest($3::uuid[]) AS org_id, unnest($4::text[]) AS score,
        unnest($5::text[]) AS risk_level, unnest($6::jsonb[]) AS recommended_actions, unnest($7::timestamptz[]) AS generated_at,
        unnest($8::uuid[]) AS event_id, unnest($9::json[]) AS explanation, unnest($10::text[]) AS action, unnest($11::text[]) AS channel,
        unnest($12::text[]) AS priority, unnest($13::text[]) AS reason, unnest($14::text[]) AS traceparent, unnest($15::timestamptz[]) AS expires_at,
        unnest($16::bytea[]) AS inputs) AS i
    """)

  static let insertOutbox = PostgresStatement(
    name: "insert_outbox", "INSERT INTO journey_outbox (id, actions, instance) VALUES ($1::uuid, $2::int4, $3::int4)")

  static let updateStates = updateStates("update_states", scoredAt: "i.scored_at", redecides: "false")

  /// The same, but the clients $12 keep their `scored_at`, because they get no score. The clients $13 are still to be
  /// decided again if they were; of these $14 also if they were due, because what made them due is not decided yet.
  static let updateStatesAlone = updateStates(
    "update_states_alone", scoredAt: "CASE WHEN i.client_id = ANY($12::uuid[]) THEN s.scored_at ELSE i.scored_at END",
    redecides:
      """
      (i.client_id = ANY($13::uuid[]) AND (s.redecide OR i.client_id = ANY($14::uuid[])
        AND COALESCE(s.summary = '' AND s.check_at IS NOT NULL OR s.due_at <= i.scored_at, false)))
      """)

  private static func updateStates(_ name: String, scoredAt: String, redecides: String) -> PostgresStatement {
    PostgresStatement(
      name: name,
      """
      UPDATE journey_client_state s
      SET summary = i.summary, outreach = i.outreach, stage = i.stage, stage_at = i.stage_at, score = i.score, risk_level = i.risk_level,
        risks = string_to_array(i.risks, ','), last_event_at = i.last_event_at, scored_at = \(scoredAt), due_at = i.due_at, redecide = \(redecides),
        check_at = CASE WHEN s.check_at > i.scored_at OR \(redecides) THEN LEAST(s.check_at, i.due_at) ELSE i.due_at END,
        updated_at = now()
      FROM (
        SELECT unnest($1::uuid[]) AS client_id, unnest($2::bytea[]) AS summary, unnest($3::bytea[]) AS outreach, unnest($4::text[]) AS stage,
          unnest($5::float8[]) AS score, unnest($6::text[]) AS risk_level, unnest($7::text[]) AS risks, unnest($8::timestamptz[]) AS last_event_at,
          unnest($9::timestamptz[]) AS scored_at, unnest($10::timestamptz[]) AS due_at, unnest($11::timestamptz[]) AS stage_at) AS i
      WHERE s.client_id = i.client_id
      """)
  }

  static let markPublished = PostgresStatement(
    name: "mark_published",
    "UPDATE journey_outbox SET confirmed_at = now() WHERE id = ANY($1::uuid[]) AND confirmed_at IS NULL")
}
