import PostgresClient

/// The statements of the map: it is read as the caller and counted as the adapter.
enum MapSQL {
  /// The age of the counts that the caller would see, by organisation.
  static let ages = PostgresStatement(
    name: "read_map_ages",
    """
    WITH \(ReadSQL.organizations)
    SELECT o.org_id, m.org_id IS NULL, m.stages_took > interval '25 milliseconds', m.flows_took > interval '25 milliseconds',
      COALESCE(now() - m.stages_at > GREATEST(interval '500 milliseconds', m.stages_took * 20), true),
      COALESCE(now() - m.flows_at > GREATEST(interval '2 seconds', m.flows_took * 20), true)
    FROM orgs o LEFT JOIN journey_maps m ON m.org_id = o.org_id
    """)

  static let map = PostgresStatement(
    name: "read_map",
    ReadSQL.ofOrganizations(
      """
      SELECT json_build_object(
        'days', $2::int4, 'asOf', \(asOf("stages")),
        'computedAt', (SELECT min(m.stages_at) FROM orgs JOIN journey_maps m USING (org_id)),
        'flowsComputedAt', (SELECT min(m.flows_at) FROM orgs JOIN journey_maps m USING (org_id)),
        'stages', (
          SELECT json_agg(
            json_build_object(
              'stage', v.stage, 'clients', COALESCE(x.clients, 0), 'stuck', COALESCE(x.stuck, 0),
              'averageDays', CASE WHEN x.clients > 0 THEN round((x.days / x.clients)::numeric, 1) END,
              'riskLevels', json_build_object(
                'LOW', COALESCE(x.low, 0), 'MEDIUM', COALESCE(x.medium, 0), 'HIGH', COALESCE(x.high, 0), 'CRITICAL', COALESCE(x.critical, 0)))
            ORDER BY v.n)
          FROM unnest(ARRAY['lead', 'qualified_lead', 'onboarding', 'active_project', 'awaiting_feedback', 'billing', 'retention', 'upsell_candidate',
            'churn_risk']) WITH ORDINALITY AS v(stage, n)
          LEFT JOIN (
            SELECT r.stage, sum(r.clients) AS clients, sum(r.stuck) AS stuck, sum(r.days) AS days,
              sum(r.clients) FILTER (WHERE r."riskLevel" = 'LOW') AS low, sum(r.clients) FILTER (WHERE r."riskLevel" = 'MEDIUM') AS medium,
              sum(r.clients) FILTER (WHERE r."riskLevel" = 'HIGH') AS high, sum(r.clients) FILTER (WHERE r."riskLevel" = 'CRITICAL') AS critical
            FROM orgs JOIN journey_maps m USING (org_id)
            CROSS JOIN jsonb_to_recordset(m.stages) AS r(stage text, "riskLevel" text, clients int8, stuck int8, days float8)
            GROUP BY r.stage) x ON x.stage = v.stage),
        'flows', COALESCE((
          SELECT json_agg(json_build_object('from', f."from", 'to', f."to", 'clients', f.clients) ORDER BY f.clients DESC, f."from", f."to")
          FROM (
            SELECT r."from", r."to", sum(CASE WHEN $2::int4 = 30 THEN r.last30 ELSE r.last90 END) AS clients
            FROM orgs JOIN journey_maps m USING (org_id)
            CROSS JOIN jsonb_to_recordset(m.flows) AS r("from" text, "to" text, last30 int8, last90 int8)
            GROUP BY r."from", r."to") f
          WHERE f.clients > 0), '[]'::json))
      """))

  static let statistics = PostgresStatement(
    name: "read_statistics",
    ReadSQL.ofOrganizations(
      """
      SELECT json_build_object(
        'days', COALESCE(json_agg(json_build_object('day', d.day, 'events', COALESCE(x.events, 0), 'moves', COALESCE(x.moves, 0),
          'actions', COALESCE(x.actions, 0)) ORDER BY d.day), '[]'::json),
        'asOf', \(asOf("flows")),
        'computedAt', (SELECT min(m.flows_at) FROM orgs JOIN journey_maps m USING (org_id)))
      FROM (SELECT (now() AT TIME ZONE 'UTC')::date - n AS day FROM generate_series(0, $2::int4 - 1) AS n) d
      LEFT JOIN (
        SELECT r.day, sum(r.events) AS events, sum(r.moves) AS moves, sum(r.actions) AS actions
        FROM orgs JOIN journey_maps m USING (org_id) CROSS JOIN jsonb_to_recordset(m.days) AS r(day date, events int8, moves int8, actions int8)
        GROUP BY r.day) x ON x.day = d.day
      """))

  /// The time of the counts; before the first count, the time of reading. Counts of an older version have no time.
  /// - Parameter counts: `stages` or `flows`.
  private static func asOf(_ counts: String) -> String {
    let counted = "SELECT min(COALESCE(m.\(counts)_as_of, m.\(counts)_at)) FROM orgs JOIN journey_maps m USING (org_id)"
    return ReadSQL.evaluated(until: "COALESCE((\(counted)), journey_evaluated_until())")
  }

  // Counting
  // ---------------------------------------------------------------------------------------------------------------------------

  /// Only one session counts an organisation at a time. Others skip the count.
  static let lock = PostgresStatement(
    name: "count_map_lock", "SELECT pg_try_advisory_xact_lock(1246579025, hashtext($1::uuid::text))")

  static let countStages = PostgresStatement(
    name: "count_stages",
    """
    INSERT INTO journey_maps (org_id, stages, stages_at, stages_as_of)
    SELECT $1::uuid, COALESCE(jsonb_agg(to_jsonb(r)), '[]'::jsonb), now(), (SELECT journey_evaluated_until())
    FROM (
      SELECT stage, COALESCE(risk_level, 'LOW') AS "riskLevel", count(*) AS clients,
        count(*) FILTER (WHERE stage_at < now() - interval '30 days') AS stuck,
        COALESCE(sum(extract(epoch FROM now() - \(HostValues.time("stage_at"))) / 86400), 0)::float8 AS days
      FROM journey_client_state WHERE org_id = $1::uuid AND stage IS NOT NULL
      GROUP BY 1, 2) r
    ON CONFLICT (org_id) DO UPDATE 
    SET stages = excluded.stages, stages_at = excluded.stages_at, stages_as_of = excluded.stages_as_of
    """)
  static let noteStages = PostgresStatement(
    name: "note_stages", "UPDATE journey_maps SET stages_took = clock_timestamp() - now() WHERE org_id = $1::uuid")

  /// A move leads from one stage-setting event to the client's next one that sets a different stage. Both lie within
  /// the last 90 days.
  static let countFlows = PostgresStatement(
    name: "count_flows",
    """
    WITH e AS MATERIALIZED (
      SELECT occurred_at, \(HostValues.text("stage")) AS stage, sets_stage,
        CASE WHEN sets_stage THEN lag(\(HostValues.text("stage"))) OVER (
          PARTITION BY client_id, sets_stage ORDER BY occurred_at, source_event_id) END AS before
      FROM client_journey_events
      WHERE org_id = $1::uuid AND voided_at IS NULL AND occurred_at > now() - interval '90 days' AND occurred_at <= now()
    ), moves AS (
      SELECT * FROM e WHERE before <> stage
    ), per_day AS (
      SELECT day, sum(events)::int8 AS events, sum(moves)::int8 AS moves, sum(actions)::int8 AS actions
      FROM (
        SELECT (occurred_at AT TIME ZONE 'UTC')::date AS day, count(*) AS events, count(*) FILTER (WHERE before <> stage) AS moves, 0 AS actions
        FROM e GROUP BY 1
        UNION ALL
        SELECT (decided_at AT TIME ZONE 'UTC')::date, 0, 0, count(*)
        FROM journey_actions WHERE org_id = $1::uuid AND decided_at > now() - interval '90 days' GROUP BY 1) u
      GROUP BY day
    )
    UPDATE journey_maps SET
      flows = COALESCE((
        SELECT jsonb_agg(jsonb_build_object('from', before, 'to', stage, 'last30', last30, 'last90', last90))
        FROM (
          SELECT before, stage, count(*) FILTER (WHERE occurred_at > now() - interval '30 days') AS last30, count(*) AS last90
          FROM moves GROUP BY 1, 2) f), '[]'::jsonb),
      days = COALESCE((SELECT jsonb_agg(to_jsonb(w) ORDER BY w.day) FROM per_day w), '[]'::jsonb),
      flows_at = now(), flows_as_of = (SELECT journey_evaluated_until())
    WHERE org_id = $1::uuid
    """)
  static let noteFlows = PostgresStatement(
    name: "note_flows", "UPDATE journey_maps SET flows_took = clock_timestamp() - now() WHERE org_id = $1::uuid")
}
