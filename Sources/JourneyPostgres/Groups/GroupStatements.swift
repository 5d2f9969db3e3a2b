import PostgresClient

/// The statements for references with several ids, and for groups.
enum GroupStatements {
  /// The client that gets the events of group `g`: its owner, or its only member. NULL if there is neither.
  static let target = """
    COALESCE(
      (SELECT c.id FROM contacts c WHERE c.id = g.owner_id AND c.org_id = g.org_id),
      (SELECT f.id FROM (
        SELECT COALESCE(s.merged_into, m.client_id) AS id
        FROM journey_group_members m LEFT JOIN journey_client_state s ON s.client_id = m.client_id
        WHERE m.org_id = g.org_id AND m.source = g.source AND m.group_id = g.group_id LIMIT 1) f
      WHERE NOT EXISTS (
        SELECT FROM journey_group_members m LEFT JOIN journey_client_state s ON s.client_id = m.client_id
        WHERE m.org_id = g.org_id AND m.source = g.source AND m.group_id = g.group_id
          AND COALESCE(s.merged_into, m.client_id) <> f.id)))
    """

  /// The positions of the references that name a known client, with what it is today.
  static let findKnown = PostgresStatement(
    name: "find_known_references",
    """
    SELECT position, client_id FROM (
      SELECT i.position, COALESCE(
        (SELECT COALESCE(s.merged_into, c.id) FROM contacts c LEFT JOIN journey_client_state s ON s.client_id = c.id
          WHERE c.id = i.client_id AND c.org_id = i.org_id),
        (SELECT d.client_id FROM journey_identities d
          WHERE d.org_id = i.org_id AND d.source = i.source AND d.external_id = i.external_id)) AS client_id
      FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[]) WITH ORDINALITY AS i(org_id, source, client_id, external_id, position)) k
    WHERE client_id IS NOT NULL
    """)

  /// The clients of stored events, with the positions of their keys. Of an event for a group only if its client is the
  /// group's owner or a member.
  static let findOwners = PostgresStatement(
    name: "find_clients_of_events",
    """
    SELECT i.position, e.client_id
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
      WITH ORDINALITY AS i(org_id, source, source_event_id, group_id, position)
    JOIN client_journey_events e ON e.org_id = i.org_id AND e.source = i.source AND e.source_event_id = i.source_event_id
    WHERE i.group_id IS NULL
      OR EXISTS (
        SELECT FROM journey_groups g
        WHERE g.org_id = i.org_id AND g.source = i.source AND g.group_id = i.group_id AND g.owner_id = e.client_id)
      OR EXISTS (
        SELECT FROM journey_group_members m LEFT JOIN journey_client_state s ON s.client_id = m.client_id
        WHERE m.org_id = i.org_id AND m.source = i.source AND m.group_id = i.group_id
          AND COALESCE(s.merged_into, m.client_id) = e.client_id)
    """)

  /// The clients that get the events of groups, with the positions of the groups.
  static let findTargets = PostgresStatement(
    name: "find_group_targets",
    """
    SELECT i.position, \(target) FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS i(org_id, source, group_id, position)
    JOIN journey_groups g ON g.org_id = i.org_id AND g.source = i.source AND g.group_id = i.group_id
    """)

  // MARK: Membership

  /// Adds clients $4 to groups. A new member may be the first, so the events that are kept for the group are due.
  static let join = PostgresStatement(
    name: "join_groups",
    """
    WITH i AS MATERIALIZED (
      SELECT DISTINCT i.org_id, i.source, i.group_id, i.client_id
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[]) AS i(org_id, source, group_id, client_id)
      JOIN contacts c ON c.id = i.client_id AND c.org_id = i.org_id
      WHERE NOT EXISTS (
        SELECT FROM journey_group_members m
        WHERE m.org_id = i.org_id AND m.source = i.source AND m.group_id = i.group_id AND m.client_id = i.client_id)
    ), g AS (
      INSERT INTO journey_groups (org_id, source, group_id) SELECT DISTINCT org_id, source, group_id FROM i ORDER BY 1, 2, 3
      ON CONFLICT (org_id, source, group_id) DO UPDATE SET due_at = now()
    )
    INSERT INTO journey_group_members (org_id, source, group_id, client_id) SELECT * FROM i ORDER BY 1, 2, 3, 4
    ON CONFLICT (org_id, source, group_id, client_id) DO NOTHING
    """)

  // MARK: Kept events

  /// Adds groups whose organisations can be locked.
  static let add = PostgresStatement(
    name: "add_groups",
    """
    WITH o AS MATERIALIZED (SELECT journey_lock_organizations($1::uuid[]) AS id)
    INSERT INTO journey_groups (org_id, source, group_id)
    SELECT DISTINCT i.org_id, i.source, i.group_id FROM unnest($1::uuid[], $2::text[], $3::text[]) AS i(org_id, source, group_id)
    WHERE i.org_id IN (SELECT id FROM o) ORDER BY 1, 2, 3
    ON CONFLICT (org_id, source, group_id) DO NOTHING
    """)

  /// While the groups are locked, nobody joins them or becomes their owner, and no event of theirs is delivered.
  static let lock = PostgresStatement(
    name: "lock_groups",
    """
    SELECT g.group_id FROM journey_groups g
    WHERE (g.org_id, g.source, g.group_id) IN (SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[]))
    ORDER BY g.org_id, g.source, g.group_id FOR SHARE
    """)

  /// Keeps events for their groups, unless somebody gets them by now ($13: whether anybody may). Returns for each event
  /// whether the organisation exists, the group is locked, the event is stored already, and somebody gets it.
  static let keep = PostgresStatement(
    name: "keep_group_events",
    """
    WITH i AS MATERIALIZED (
      SELECT i.*, o.id IS NOT NULL AS is_known_organization, g.group_id IS NOT NULL AS is_locked,
        EXISTS (
          SELECT FROM client_journey_events e
          WHERE e.org_id = i.org_id AND e.source = i.source AND e.source_event_id = i.source_event_id)
        OR EXISTS (
          SELECT FROM journey_group_events e
          WHERE e.org_id = i.org_id AND e.source = i.source AND e.source_event_id = i.source_event_id) AS is_stored,
        $13::bool AND g.group_id IS NOT NULL AND \(target) IS NOT NULL AS has_target
      FROM unnest(
          $1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::timestamptz[], $9::jsonb[], $10::jsonb[], $11::text[],
          $12::text[], $14::bool[])
        WITH ORDINALITY
        AS i(org_id, source, group_id, source_event_id, id, event_type, stage, occurred_at, metadata, links, min_stage, acted_by, is_backfill, position)
      LEFT JOIN organizations o ON o.id = i.org_id
      LEFT JOIN journey_groups g ON g.org_id = i.org_id AND g.source = i.source AND g.group_id = i.group_id
    ), kept AS (
      INSERT INTO journey_group_events
        (org_id, source, group_id, source_event_id, id, event_type, stage, occurred_at, metadata, links, min_stage, acted_by, is_backfill)
      SELECT DISTINCT ON (org_id, source, source_event_id)
        org_id, source, group_id, source_event_id, id, event_type, stage, occurred_at, metadata, links, min_stage, acted_by, is_backfill
      FROM i WHERE is_locked AND NOT is_stored AND NOT has_target
      ORDER BY org_id, source, source_event_id, position
      ON CONFLICT (org_id, source, source_event_id) DO NOTHING
    )
    SELECT is_known_organization, is_locked, is_stored, has_target FROM i ORDER BY position
    """)

  // MARK: Delivery

  /// The group that has been due for longest.
  static let due = PostgresStatement(
    name: "find_due_group",
    "SELECT org_id, source, group_id FROM journey_groups WHERE due_at <= now() ORDER BY due_at LIMIT 1")

  /// For how long an event that the database refused is left out.
  private static let afterFailure = "interval '1 hour'"

  /// The oldest events that are kept for a group, with the client that gets them; none if nobody does. Without those
  /// that were refused lately.
  static let kept = PostgresStatement(
    name: "find_kept_events",
    """
    SELECT t.id, k.id, k.source_event_id, k.event_type, k.stage, k.occurred_at, k.metadata,
      ARRAY(SELECT jsonb_array_elements_text(k.links)), k.min_stage, k.acted_by, k.is_backfill
    FROM journey_groups g CROSS JOIN LATERAL (SELECT \(target) AS id) t
    JOIN journey_group_events k ON k.org_id = g.org_id AND k.source = g.source AND k.group_id = g.group_id
    WHERE g.org_id = $1 AND g.source = $2 AND g.group_id = $3 AND t.id IS NOT NULL
      AND (k.failed_at IS NULL OR k.failed_at <= now() - \(afterFailure))
    ORDER BY k.occurred_at, k.source_event_id LIMIT $4
    """)

  static let lockOne = PostgresStatement(
    name: "lock_group", "SELECT FROM journey_groups WHERE org_id = $1 AND source = $2 AND group_id = $3 FOR UPDATE")

  /// Removes what is stored for a client now.
  static let removeDelivered = PostgresStatement(
    name: "remove_delivered_events",
    """
    DELETE FROM journey_group_events k
    WHERE k.org_id = $1 AND k.source = $2 AND k.group_id = $3 AND EXISTS (
      SELECT FROM client_journey_events e
      WHERE e.org_id = k.org_id AND e.source = k.source AND e.source_event_id = k.source_event_id)
    """)

  /// Records that the database refused events $4 of a group.
  static let fail = PostgresStatement(
    name: "fail_kept_events",
    """
    UPDATE journey_group_events SET failed_at = clock_timestamp()
    WHERE org_id = $1 AND source = $2 AND group_id = $3 AND source_event_id = ANY($4::text[])
    """)

  /// Has the group looked at again after $4 milliseconds if somebody gets what is still kept; what was refused, after an
  /// hour. Returns how many events were refused that somebody gets. Runs under the group's lock.
  static let settle = PostgresStatement(
    name: "settle_group",
    """
    UPDATE journey_groups g SET due_at = CASE WHEN \(target) IS NOT NULL THEN (
      SELECT min(GREATEST(clock_timestamp() + $4::int8 * interval '1 millisecond', k.failed_at + \(afterFailure)))
      FROM journey_group_events k WHERE k.org_id = g.org_id AND k.source = g.source AND k.group_id = g.group_id) END
    WHERE g.org_id = $1 AND g.source = $2 AND g.group_id = $3
    RETURNING CASE WHEN g.due_at IS NULL THEN 0 ELSE (
      SELECT count(*) FROM journey_group_events k
      WHERE k.org_id = g.org_id AND k.source = g.source AND k.group_id = g.group_id AND k.failed_at IS NOT NULL) END
    """)

  /// Deletes the events that are kept for a group, or those of type $4. Runs under the group's lock.
  static let discard = PostgresStatement(
    name: "discard_kept_events",
    """
    WITH k AS (
      DELETE FROM journey_group_events
      WHERE org_id = $1 AND source = $2 AND group_id = $3 AND ($4::text IS NULL OR event_type = $4)
      RETURNING org_id, source, group_id, source_event_id
    ), logged AS (
      INSERT INTO journey_identity_log (org_id, action, source, external_id, event_id, actor, why)
      SELECT org_id, 'discarded', source, group_id, source_event_id, $5::text, $6::text FROM k
    )
    SELECT count(*) FROM k
    """)

  // MARK: Sweep

  /// Makes groups due for which events are kept although somebody gets them: nothing tells when the host deletes a
  /// member, or when the setting changes. Looks at $4 groups after the group $1, $2, $3, whose locks it does not wait
  /// for. Returns the last one that it looked at; none if there are no more.
  static let sweep = PostgresStatement(
    name: "sweep_groups",
    """
    WITH RECURSIVE k AS (
      (SELECT org_id, source, group_id, 1 AS n FROM journey_group_events
      WHERE (org_id, source, group_id) > ($1::uuid, $2::text, $3::text) ORDER BY org_id, source, group_id LIMIT 1)
      UNION ALL
      SELECT e.org_id, e.source, e.group_id, k.n + 1
      FROM k CROSS JOIN LATERAL (
        SELECT e.org_id, e.source, e.group_id FROM journey_group_events e
        WHERE (e.org_id, e.source, e.group_id) > (k.org_id, k.source, k.group_id)
        ORDER BY e.org_id, e.source, e.group_id LIMIT 1) e
      WHERE k.n < $4::int8
    ), found AS MATERIALIZED (
      SELECT g.org_id, g.source, g.group_id FROM journey_groups g
      WHERE (g.org_id, g.source, g.group_id) IN (SELECT org_id, source, group_id FROM k)
        AND g.due_at IS NULL AND \(target) IS NOT NULL
      FOR NO KEY UPDATE OF g SKIP LOCKED
    ), due AS (
      UPDATE journey_groups g SET due_at = now() FROM found f
      WHERE g.org_id = f.org_id AND g.source = f.source AND g.group_id = f.group_id
    )
    SELECT org_id, source, group_id FROM k ORDER BY n DESC LIMIT 1
    """)

  static let postpone = PostgresStatement(
    name: "postpone_group",
    """
    UPDATE journey_groups SET due_at = clock_timestamp() + $4::int8 * interval '1 millisecond'
    WHERE org_id = $1 AND source = $2 AND group_id = $3
    """)
}
