import PostgresClient

extension IdentityChanges {
  /// An id that is the uuid of a contact of the organisation means this contact, as it does in an event. Ids keep the
  /// merged client that they belong to (`origin_id`), to which they go back if the merge is undone.
  enum Statements {
    /// The id `column` of a row `i` as a uuid, if it is one.
    private static func uuid(_ column: String) -> String {
      "CASE WHEN i.\(column) ~ '^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$' THEN i.\(column)::uuid END"
    }

    /// The client that the other id `column` of a row `i` means: a contact `c`, or the client of an identity `d`.
    private static func others(_ column: String) -> String {
      """
      LEFT JOIN contacts c ON c.org_id = i.org_id AND c.id = \(uuid(column))
      LEFT JOIN journey_identities d ON d.org_id = i.org_id AND d.source = i.source AND d.external_id = i.\(column)
      LEFT JOIN journey_client_state m ON m.client_id = COALESCE(c.id, d.client_id)
      """
    }

    /// Locks the contacts and states of the clients with these ids. Returns the positions of those that another
    /// transaction holds.
    static let lockOthers = PostgresStatement(
      name: "lock_other_clients",
      """
      WITH found AS MATERIALIZED (
        SELECT i.position, COALESCE(m.merged_into, c.id, d.client_id) AS client_id
        FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS i(org_id, source, external_id, position)
        \(others("external_id"))
        WHERE COALESCE(c.id, d.client_id) IS NOT NULL
      ), k AS MATERIALIZED (
        SELECT c.id FROM contacts c WHERE c.id IN (SELECT client_id FROM found) FOR KEY SHARE SKIP LOCKED
      ), s AS MATERIALIZED (
        SELECT client_id FROM journey_client_state WHERE client_id IN (SELECT id FROM k) FOR UPDATE SKIP LOCKED
      )
      SELECT position FROM found f
      WHERE NOT EXISTS (SELECT FROM k WHERE k.id = f.client_id)
        OR NOT EXISTS (SELECT FROM s WHERE s.client_id = f.client_id)
          AND EXISTS (SELECT FROM journey_client_state t WHERE t.client_id = f.client_id)
      """)

    static let linkByAlias = PostgresStatement(
      name: "adopt_identities",
      """
      INSERT INTO journey_identities (org_id, source, external_id, client_id, via, event_id, origin_id)
      SELECT DISTINCT ON (i.org_id, i.source, i.external_id) i.org_id, i.source, i.external_id,
        COALESCE(m.merged_into, c.id, d.client_id), 'merge', i.event_id,
        CASE WHEN c.id IS NULL THEN d.origin_id WHEN m.merged_into IS NOT NULL THEN c.id END
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[]) AS i(org_id, source, external_id, other, event_id)
      \(others("other"))
      WHERE COALESCE(c.id, d.client_id) IS NOT NULL
        AND NOT EXISTS (SELECT FROM contacts o WHERE o.org_id = i.org_id AND o.id = \(uuid("external_id")))
      ORDER BY i.org_id, i.source, i.external_id, COALESCE(m.merged_into, c.id, d.client_id)
      ON CONFLICT (org_id, source, external_id) DO NOTHING
      """)

    /// Links ids to the clients that their addresses identify. Returns the positions of addresses that several clients
    /// share (true), or whose client another transaction holds (false).
    static let find = PostgresStatement(
      name: "find_by_email",
      """
      WITH found AS MATERIALIZED (
        SELECT i.position, i.org_id, i.source, i.external_id, i.event_id, (array_agg(DISTINCT COALESCE(s.merged_into, c.id)))[1] AS client_id,
          count(DISTINCT COALESCE(s.merged_into, c.id)) AS clients,
          CASE WHEN bool_and(s.merged_into IS NOT NULL) THEN (array_agg(c.id ORDER BY c.id))[1] END AS origin_id
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY
          AS i(org_id, source, external_id, email, event_id, position)
        JOIN contacts c ON c.org_id = i.org_id AND lower(c.email) = lower(i.email) AND \(VerifiedEmail.condition)
        LEFT JOIN journey_client_state s ON s.client_id = c.id
        GROUP BY i.position, i.org_id, i.source, i.external_id, i.event_id
      ), k AS MATERIALIZED (
        SELECT c.id FROM contacts c WHERE c.id IN (SELECT client_id FROM found WHERE clients = 1) FOR KEY SHARE SKIP LOCKED
      ), linked AS (
        INSERT INTO journey_identities (org_id, source, external_id, client_id, via, event_id, origin_id)
        SELECT DISTINCT ON (org_id, source, external_id) org_id, source, external_id, client_id, 'email', event_id, origin_id FROM found
        WHERE clients = 1 AND client_id IN (SELECT id FROM k)
        ORDER BY org_id, source, external_id, position
        ON CONFLICT (org_id, source, external_id) DO NOTHING
        RETURNING org_id, source, external_id, client_id, event_id
      ), logged AS (
        INSERT INTO journey_identity_log (org_id, action, source, external_id, client_id, event_id, actor, why)
        SELECT org_id, 'linked', source, external_id, client_id, event_id, 'journey serve', 'found by its e-mail address' FROM linked
      )
      SELECT position, clients > 1 FROM found WHERE clients > 1 OR NOT EXISTS (SELECT FROM k WHERE k.id = found.client_id) ORDER BY position
      """)

    static let link = PostgresStatement(
      name: "link_identities",
      """
      INSERT INTO journey_identities (org_id, source, external_id, client_id, event_id, via, origin_id)
      SELECT DISTINCT ON (org_id, source, external_id) org_id, source, external_id, client_id, event_id, 'thing', NULLIF(origin_id, client_id)
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::uuid[])
        AS i(org_id, source, external_id, client_id, event_id, origin_id)
      ORDER BY org_id, source, external_id
      ON CONFLICT (org_id, source, external_id) DO NOTHING
      """)

    /// Links ids that have no client yet. It runs before `merge`, whose function does not log the event.
    static let addMerged = PostgresStatement(
      name: "add_merged_identities",
      """
      WITH linked AS (
        INSERT INTO journey_identities (org_id, source, external_id, client_id, via, event_id, origin_id)
        SELECT DISTINCT ON (i.org_id, i.source, i.external_id) i.org_id, i.source, i.external_id, i.client_id, 'merge', i.event_id,
          NULLIF(i.origin_id, i.client_id)
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::uuid[]) WITH ORDINALITY
          AS i(org_id, source, external_id, client_id, event_id, origin_id, position)
        \(others("external_id"))
        WHERE c.id IS NULL
        ORDER BY i.org_id, i.source, i.external_id, i.position
        ON CONFLICT (org_id, source, external_id) DO NOTHING
        RETURNING org_id, source, external_id, client_id, event_id
      )
      INSERT INTO journey_identity_log (org_id, action, source, external_id, client_id, event_id, actor)
      SELECT org_id, 'linked', source, external_id, client_id, event_id, 'journey serve' FROM linked
      """)

    /// Merges the clients of the ids, except those that a person keeps apart. An event that is stored already merges
    /// nothing: what it said may have been undone since.
    static let merge = PostgresStatement(
      name: "absorb_identities",
      """
      WITH before AS MATERIALIZED (
        SELECT i.*, COALESCE(m.merged_into, c.id, d.client_id) AS other
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[]) AS i(org_id, source, external_id, client_id, event_id)
        \(others("external_id"))
        WHERE NOT EXISTS (
          SELECT FROM client_journey_events e WHERE e.org_id = i.org_id AND e.source = i.source AND e.source_event_id = i.event_id)
      )
      INSERT INTO journey_identity_log (org_id, action, source, external_id, client_id, other_client_id, event_id, actor)
      SELECT b.org_id, CASE WHEN b.other IS NULL THEN 'linked' ELSE 'merged' END, b.source, b.external_id, a.id, b.other, b.event_id, 'journey serve'
      FROM before b CROSS JOIN LATERAL (
        SELECT CASE WHEN journey_are_kept_apart(b.other, b.client_id) THEN b.other
          ELSE journey_absorb_identity(b.org_id, b.source, b.external_id, b.client_id) END AS id) a
      WHERE b.other IS DISTINCT FROM a.id
      """)
  }
}
