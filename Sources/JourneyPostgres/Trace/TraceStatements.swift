import PostgresClient

/// The queries of `TraceReader`. Where a query looks for something, $1 is the organisation; NULL: any.
enum TraceStatements {
  /// The rows of a table whose event has the source's id $2. The index on an event's key starts with organisation and
  /// source, so each pair of these is looked up: a few steps each, however many events there are.
  private static func keyed(_ columns: String, _ table: String) -> String {
    """
    SELECT \(columns) FROM organizations o
    CROSS JOIN LATERAL (
      WITH RECURSIVE sources(source) AS (
        (SELECT k.source FROM \(table) k WHERE k.org_id = o.id AND k.source >= '' ORDER BY k.source LIMIT 1)
        UNION ALL
        SELECT (SELECT k.source FROM \(table) k WHERE k.org_id = o.id AND k.source > s.source ORDER BY k.source LIMIT 1)
        FROM sources s WHERE s.source IS NOT NULL)
      SELECT source FROM sources WHERE source IS NOT NULL) s
    CROSS JOIN LATERAL (
      SELECT * FROM \(table) e
      WHERE e.org_id = o.id AND e.source = s.source AND e.source_event_id = $2::text LIMIT 1) e
    WHERE $1::uuid IS NULL OR o.id = $1::uuid
    LIMIT 20
    """
  }

  static let ids = PostgresStatement(
    name: "trace_event_ids",
    """
    SELECT id FROM client_journey_events WHERE id = $3::uuid AND ($1::uuid IS NULL OR org_id = $1::uuid)
    UNION (\(keyed("e.id", "client_journey_events")))
    """)

  /// The newest events of a client $2.
  static let idsOfClient = PostgresStatement(
    name: "trace_client_event_ids",
    """
    SELECT id FROM (
      SELECT id, org_id FROM client_journey_events WHERE client_id = $2::uuid
      ORDER BY occurred_at DESC, source_event_id DESC LIMIT $3::int4) e
    WHERE $1::uuid IS NULL OR org_id = $1::uuid
    """)

  /// The ids of the events ($1, $2, $3): organisation, source, the source's id.
  static let idsOfKeys = PostgresStatement(
    name: "trace_keys",
    """
    SELECT i.position, e.id FROM (
      SELECT unnest($1::uuid[]) AS org_id, unnest($2::text[]) AS source, unnest($3::text[]) AS source_event_id,
        generate_subscripts($1::uuid[], 1) AS position) AS i
    CROSS JOIN LATERAL (
      SELECT id FROM client_journey_events e
      WHERE e.org_id = i.org_id AND e.source = i.source AND e.source_event_id = i.source_event_id LIMIT 1) AS e
    """)

  static let kept = PostgresStatement(
    name: "trace_kept",
    keyed(
      "e.id, e.org_id, e.source, e.source_event_id, e.group_id, e.event_type, e.occurred_at, e.kept_at, e.failed_at",
      "journey_group_events"))

  /// The events $1, each with the evaluation that it led to, or else with the client's first after it was stored.
  static let events = PostgresStatement(
    name: "trace_events",
    """
    SELECT e.id, e.org_id, e.source, e.source_event_id, \(HostValues.text("e.event_type")), \(HostValues.text("e.stage")),
      e.sets_stage, \(HostValues.moment("e.occurred_at")), e.ingested_at, e.voided_at, e.client_id, c.name::text,
      \(evaluated)
    FROM client_journey_events e
    LEFT JOIN contacts c ON c.id = e.client_id
    LEFT JOIN LATERAL (
      SELECT * FROM client_journey_scores s
      WHERE s.client_id = e.client_id AND s.generated_at >= e.ingested_at
        AND s.generated_at < e.ingested_at + interval '1 hour'
      ORDER BY (s.event_id = e.id) IS TRUE DESC, s.generated_at LIMIT 1) s ON true
    LEFT JOIN journey_outbox o ON o.id = s.outbox_id
    WHERE e.id = ANY($1::uuid[])
    ORDER BY e.ingested_at, e.id
    """)

  static let evaluation = PostgresStatement(
    name: "trace_evaluation",
    """
    SELECT s.org_id, s.client_id, c.name::text, \(evaluated)
    FROM client_journey_scores s
    LEFT JOIN contacts c ON c.id = s.client_id
    LEFT JOIN journey_outbox o ON o.id = s.outbox_id
    WHERE s.id = $2::uuid AND ($1::uuid IS NULL OR s.org_id = $1::uuid)
    """)

  /// What `TracedEvaluation` reads, of a score `s` and its batch `o`.
  private static let evaluated = """
    s.id, s.event_id, \(HostValues.moment("s.generated_at")), s.explanation ->> 'stage', \(HostValues.double("s.score")),
      \(HostValues.text("s.risk_level")), CASE WHEN s.outbox_id IS NOT NULL THEN s.action END, s.channel, s.priority,
      s.reason, s.expires_at, s.outbox_id, o.id IS NOT NULL, o.confirmed_at, o.attempts, o.failure,
      NULLIF(o.next_attempt_at, 'infinity'), o.instance IS NOT NULL AND EXISTS (
        SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = \(InstanceLock.keyClass)::oid
          AND l.objid = o.instance::oid AND l.objsubid = 2 AND l.granted
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
    """
}
