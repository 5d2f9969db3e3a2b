import PostgresClient

/// The statements that change stored events.
enum EventChangeStatements {
  static let record = PostgresStatement(
    name: "record_event_change",
    """
    INSERT INTO journey_event_changes (run, actor, action, source, event_ids, counts, why)
    VALUES ($1::uuid, $2::text, $3::text, $4::text, $5::uuid[], $6::jsonb, $7::text) RETURNING id
    """)

  static let keepVersions = PostgresStatement(
    name: "keep_event_versions",
    """
    INSERT INTO journey_event_versions (change_id, event_id, client_id, org_id, version)
    SELECT $1::int8, e.id, e.client_id, e.org_id, to_jsonb(e) FROM client_journey_events e WHERE e.id = ANY($2::uuid[])
    """)

  static let void = PostgresStatement(
    name: "void_events",
    """
    UPDATE client_journey_events SET voided_at = now(), voided_by = $1::int8
    WHERE id = ANY($2::uuid[]) AND voided_at IS NULL
    """)

  static let restore = PostgresStatement(
    name: "restore_events",
    """
    UPDATE client_journey_events SET voided_at = NULL, voided_by = NULL
    WHERE id = ANY($1::uuid[]) AND voided_at IS NOT NULL
    """)

  /// Rewrites the events $1, which get the ids $2. They count from now on.
  static let rewrite = PostgresStatement(
    name: "rewrite_events",
    """
    UPDATE client_journey_events e
    SET id = i.new_id, client_id = i.client_id, stage = COALESCE(i.stage, e.stage), sets_stage = i.sets_stage,
      event_type = i.event_type, metadata = i.metadata, occurred_at = i.occurred_at, min_stage = i.min_stage, acted_by = i.acted_by,
      origin_id = COALESCE(i.origin_id, CASE WHEN e.client_id = i.client_id THEN e.origin_id END), voided_at = NULL, voided_by = NULL
    FROM (
      SELECT unnest($1::uuid[]) AS id, unnest($2::uuid[]) AS new_id, unnest($3::uuid[]) AS client_id, unnest($4::text[]) AS stage,
        unnest($5::bool[]) AS sets_stage, unnest($6::text[]) AS event_type, unnest($7::jsonb[]) AS metadata,
        unnest($8::timestamptz[]) AS occurred_at, unnest($9::text[]) AS min_stage, unnest($10::text[]) AS acted_by, unnest($11::uuid[]) AS origin_id) AS i
    WHERE e.id = i.id
    """)

  /// Gives the events of the clients $1 from the times $2 on that set no stage the stage of their time: that of the
  /// newest one before that set it, raised by those after it.
  static let restage = PostgresStatement(
    name: "restage_events",
    """
    WITH c AS (
      SELECT client_id, min(at) AS at FROM unnest($1::uuid[], $2::timestamptz[]) AS c(client_id, at) GROUP BY 1
    ), e AS (
      SELECT e.* FROM c CROSS JOIN LATERAL (
        SELECT h.id, h.client_id, \(HostValues.text("h.stage")) AS stage, h.sets_stage, h.min_stage, h.occurred_at, h.source_event_id, h.source
        FROM client_journey_events h
        WHERE h.client_id = c.client_id AND h.voided_at IS NULL AND h.occurred_at >= COALESCE((
          SELECT p.occurred_at FROM client_journey_events p
          WHERE p.client_id = c.client_id AND p.voided_at IS NULL AND p.sets_stage AND p.occurred_at < c.at
          ORDER BY p.occurred_at DESC LIMIT 1), '-infinity')) e
    ), g AS (
      SELECT *, count(*) FILTER (WHERE sets_stage) OVER (
        PARTITION BY client_id ORDER BY occurred_at, source_event_id, source, id) AS n,
        array_position(\(stages), CASE WHEN sets_stage THEN stage ELSE min_stage END) AS place FROM e
    ), w AS (
      SELECT id, sets_stage, source, stage, (\(stages))[COALESCE(max(place) OVER (
        PARTITION BY client_id, n ORDER BY occurred_at, source_event_id, source, id), 1)] AS wanted FROM g
    )
    UPDATE client_journey_events e SET stage = w.wanted FROM w
    WHERE e.id = w.id AND NOT w.sets_stage AND w.source IS NOT NULL AND w.stage IS DISTINCT FROM w.wanted
    """)

  private static let stages = CommitStatements.stages

  /// The stored events with the keys of events, by the position of each, and how they differ.
  static let compare = PostgresStatement(
    name: "compare_events",
    """
    SELECT i.position, e.id, e.client_id, e.occurred_at, e.voided_at IS NOT NULL, v.action,
      \(HostValues.text("e.event_type")) IS DISTINCT FROM i.event_type,
      (e.sets_stage, CASE WHEN e.sets_stage THEN \(HostValues.text("e.stage")) END, e.min_stage)
        IS DISTINCT FROM (i.sets_stage, i.stage, i.min_stage),
      e.client_id IS DISTINCT FROM i.client_id OR i.origin_id IS NOT NULL AND e.origin_id IS DISTINCT FROM i.origin_id, e.occurred_at IS DISTINCT FROM i.occurred_at,
      e.metadata::jsonb IS DISTINCT FROM i.metadata, e.acted_by IS DISTINCT FROM i.acted_by, e.org_id
    FROM (
      SELECT unnest($1::uuid[]) AS org_id, unnest($2::text[]) AS source, unnest($3::text[]) AS source_event_id,
        unnest($4::uuid[]) AS client_id, unnest($5::text[]) AS stage, unnest($6::bool[]) AS sets_stage,
        unnest($7::text[]) AS event_type, unnest($8::jsonb[]) AS metadata, unnest($9::timestamptz[]) AS occurred_at,
        unnest($10::text[]) AS min_stage, unnest($11::text[]) AS acted_by,
        unnest($12::uuid[]) AS origin_id, generate_subscripts($1::uuid[], 1) AS position) AS i
    JOIN client_journey_events e
      ON e.org_id = i.org_id AND e.source = i.source AND e.source_event_id = i.source_event_id
    LEFT JOIN journey_event_changes v ON v.id = e.voided_by
    """)

  static let owned = PostgresStatement(
    name: "events_of_messages",
    """
    SELECT e.id, e.client_id, e.org_id, e.source, e.source_event_id, e.occurred_at, e.voided_at IS NOT NULL
    FROM client_journey_events e WHERE e.id = ANY($1::uuid[]) AND e.source IS NOT NULL
    """)

  static let addToBatch = PostgresStatement(
    name: "add_events_to_raw_batch",
    """
    UPDATE journey_raw_batches SET event_ids = event_ids || $2::uuid[], event_messages = event_messages || $3::int4[]
    WHERE id = $1::uuid
    """)

  /// The next batch after $1 with messages of the source $2, received from $3 to before $4, of the organisation $5.
  static let nextBatch = PostgresStatement(
    name: "next_raw_batch",
    """
    SELECT id, records, event_ids, event_messages FROM journey_raw_batches
    WHERE id > $1::uuid AND $2::text = ANY(sources)
      AND received_until >= COALESCE($3::timestamptz, '-infinity') AND received_from < COALESCE($4::timestamptz, 'infinity')
      AND ($5::uuid IS NULL OR orgs IS NULL OR $5::uuid = ANY(orgs))
    ORDER BY id LIMIT 1
    """)

  static let extent = PostgresStatement(
    name: "raw_batches_extent",
    """
    SELECT count(*), min(received_from), max(received_until), COALESCE(sum(messages), 0)::int8 FROM journey_raw_batches
    WHERE $1::text = ANY(sources)
    """)
}
