import PostgresClient

/// The statements that find, lock and create clients. Each takes all references of a batch as arrays.
enum ClientStatements {
  /// Finds clients, following merges. The last column is the merged client that the reference names, if it names one.
  /// The one before it says whether the rows that a client's rows refer to could be
  /// locked: the organisation, and the contact if it exists. Rows that another transaction holds are skipped.
  static let find = PostgresStatement(
    name: "find_clients",
    """
    WITH o AS MATERIALIZED (SELECT journey_lock_organizations($1::uuid[]) AS id), found AS MATERIALIZED (
      SELECT i.position, i.org_id, o.id IS NOT NULL AS is_known_organization, c.org_id = i.org_id AS is_own,
        COALESCE(s.merged_into, CASE WHEN c.org_id = i.org_id THEN c.id ELSE d.client_id END) AS id,
        CASE WHEN c.org_id = i.org_id THEN CASE WHEN s.merged_into IS NOT NULL THEN c.id END ELSE d.origin_id END AS origin_id
      FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[]) WITH ORDINALITY AS i(org_id, source, client_id, external_id, position)
      LEFT JOIN organizations o ON o.id = i.org_id
      LEFT JOIN contacts c ON c.id = i.client_id
      LEFT JOIN journey_identities d ON d.org_id = i.org_id AND d.source = i.source AND d.external_id = i.external_id
      LEFT JOIN journey_client_state s ON s.client_id = CASE WHEN c.org_id = i.org_id THEN c.id ELSE d.client_id END
    ), k AS MATERIALIZED (
      SELECT c.id FROM contacts c WHERE c.id IN (SELECT id FROM found) AND c.org_id IN (SELECT id FROM o) FOR KEY SHARE SKIP LOCKED
    )
    SELECT f.is_known_organization, f.is_own, f.id,
      CASE WHEN f.id IS NULL THEN EXISTS (SELECT FROM o WHERE o.id = f.org_id) ELSE EXISTS (SELECT FROM k WHERE k.id = f.id) END,
      f.origin_id
    FROM found f ORDER BY f.position
    """)

  /// Finds clients, locks them with their organisations and states, and reads the states. This saves a round trip and a
  /// second index lookup. Rows that another transaction holds are skipped.
  static let findAndLock = PostgresStatement(
    name: "find_and_lock_clients",
    """
    WITH o AS MATERIALIZED (SELECT journey_lock_organizations($1::uuid[]) AS id), found AS MATERIALIZED (
      SELECT i.position, i.org_id, COALESCE(own.id, linked.id) AS id,
        CASE WHEN own.id IS NULL THEN linked.name ELSE own.name END AS name, CASE WHEN own.id IS NULL THEN linked.email ELSE own.email END AS email,
        CASE WHEN own.id IS NULL THEN linked.phone ELSE own.phone END AS phone,
        CASE WHEN own.id IS NULL THEN linked.ai_score ELSE own.ai_score END AS ai_score,
        CASE WHEN own.id IS NULL THEN linked.time_zone ELSE own.time_zone END AS time_zone,
        CASE WHEN own.id IS NULL THEN d.origin_id END AS origin_id,
        CASE WHEN own.id IS NULL AND i.client_id IS NOT NULL THEN (SELECT false FROM contacts f WHERE f.id = i.client_id LIMIT 1) END AS is_own
      FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[]) WITH ORDINALITY AS i(org_id, source, client_id, external_id, position)
      LEFT JOIN contacts own ON own.id = i.client_id AND own.org_id = i.org_id
      LEFT JOIN journey_identities d ON d.org_id = i.org_id AND d.source = i.source AND d.external_id = i.external_id
      LEFT JOIN contacts linked ON linked.id = d.client_id
    ), k AS MATERIALIZED (
      SELECT c.id FROM contacts c WHERE c.id IN (SELECT id FROM found) AND c.org_id IN (SELECT id FROM o) FOR KEY SHARE SKIP LOCKED
    ), s AS MATERIALIZED (
      SELECT client_id, merged_into, summary, outreach, scored_at FROM journey_client_state
      WHERE client_id IN (SELECT id FROM k) FOR UPDATE SKIP LOCKED
    )
    SELECT k.id IS NOT NULL OR (SELECT true FROM organizations o WHERE o.id = c.org_id LIMIT 1), c.is_own, c.id,
      k.id IS NOT NULL, s.client_id IS NOT NULL, s.merged_into IS NOT NULL,
      CASE WHEN s.client_id IS NULL THEN (SELECT true FROM journey_client_state t WHERE t.client_id = c.id LIMIT 1) END,
      c.origin_id, \(LockedClient.columns)
    FROM found c LEFT JOIN k ON k.id = c.id LEFT JOIN s ON s.client_id = c.id
    ORDER BY c.position
    """)

  /// Locks the known clients that are not held by others, with their organisations and states, and reads the states.
  /// This resolves nearly all references with one lookup per index, and waits for no lock.
  ///
  /// A UUID may also be a source's external id. `findAndLock` resolves that case, because here a skipped lock looks
  /// like a missing row.
  ///
  /// $1: client ids, $2: organisations, $3 to $5: organisations, sources and external ids.
  static let lockKnown = PostgresStatement(
    name: "lock_known_clients",
    """
    SELECT s.client_id, \(LockedClient.columns)
    FROM journey_client_state s JOIN contacts c ON c.id = s.client_id
    WHERE s.client_id = ANY ($1::uuid[] || ARRAY(SELECT client_id FROM \(linkedClients(from: 3)))) AND s.merged_into IS NULL
      AND c.org_id = ANY (ARRAY(SELECT journey_lock_organizations($2::uuid[])))
    FOR KEY SHARE OF c SKIP LOCKED FOR UPDATE OF s SKIP LOCKED
    """)

  /// Finds clients by external id. The positions tell which client of `lockKnown` belongs to which reference.
  static let findLinked = PostgresStatement(
    name: "find_linked_clients", "SELECT position, client_id, origin_id FROM \(linkedClients(from: 1))")

  /// A FROM item: clients by external id, with the positions of the ids.
  /// - Parameter parameter: the number of the first of three: organisations, sources, ids.
  private static func linkedClients(from parameter: Int) -> String {
    """
    (SELECT unnest($\(parameter)::uuid[]) AS org_id, unnest($\(parameter + 1)::text[]) AS source, unnest($\(parameter + 2)::text[]) AS external_id,
          generate_subscripts($\(parameter)::uuid[], 1) AS position) AS i
        CROSS JOIN LATERAL (
          SELECT d.client_id, d.origin_id FROM journey_identities d
          WHERE d.org_id = i.org_id AND d.source = i.source AND d.external_id = i.external_id LIMIT 1) AS l
    """
  }

  /// Claims identities for new clients. Returns only those that were free.
  static let claim = PostgresStatement(
    name: "claim_identities",
    """
    INSERT INTO journey_identities (org_id, source, external_id, client_id, via)
    SELECT *, 'created' FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[])
    ON CONFLICT (org_id, source, external_id) DO NOTHING
    RETURNING client_id
    """)

  static let create = PostgresStatement(
    name: "create_clients",
    """
    WITH i AS (
      SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bool[]) AS i(id, org_id, name, email, phone, is_verified)
    ), new AS (
      INSERT INTO contacts (id, org_id, name, email, phone) SELECT id, org_id, name, email, phone FROM i ON CONFLICT (id) DO NOTHING
      -- A host's trigger may have written the address in another way.
      RETURNING id, org_id, email
    )
    INSERT INTO journey_unverified_emails (client_id, org_id, email)
    SELECT n.id, n.org_id, n.email FROM new n JOIN i ON i.id = n.id WHERE n.email IS NOT NULL AND NOT i.is_verified
    """)
}

/// E-mail addresses by which clients can be found.
enum VerifiedEmail {
  /// Whether the address of contact `c` may identify a client. An unverified address may not, unless the host has
  /// changed it since.
  static let condition =
    "NOT EXISTS (SELECT FROM journey_unverified_emails u WHERE u.client_id = c.id AND lower(u.email) = lower(c.email))"
}
