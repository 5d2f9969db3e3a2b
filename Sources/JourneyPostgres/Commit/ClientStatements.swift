import PostgresClient

/// The statements that find, lock and create clients. Each takes the references of a whole batch as arrays.
enum ClientStatements {
  /// Finds clients. One that has become another is that other one. The last column tells whether what a row of the
  /// client refers to is locked now: the organisation, and the client's contact where there is one. What somebody else
  /// holds is passed over.
  static let find = PostgresStatement(
    name: "find_clients",
    """
    WITH o AS MATERIALIZED (SELECT journey_lock_organizations($1::uuid[]) AS id), found AS MATERIALIZED (
      SELECT i.position, i.org_id, o.id IS NOT NULL AS is_known_organization, c.org_id = i.org_id AS is_own,
        COALESCE(s.merged_into, CASE WHEN c.org_id = i.org_id THEN c.id ELSE d.client_id END) AS id
      FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[]) WITH ORDINALITY AS i(org_id, source, client_id, external_id, position)
      LEFT JOIN organizations o ON o.id = i.org_id
      LEFT JOIN contacts c ON c.id = i.client_id
      LEFT JOIN journey_identities d ON d.org_id = i.org_id AND d.source = i.source AND d.external_id = i.external_id
      LEFT JOIN journey_client_state s ON s.client_id = CASE WHEN c.org_id = i.org_id THEN c.id ELSE d.client_id END
    ), k AS MATERIALIZED (
      SELECT c.id FROM contacts c WHERE c.id IN (SELECT id FROM found) AND c.org_id IN (SELECT id FROM o) FOR KEY SHARE SKIP LOCKED
    )
    SELECT f.is_known_organization, f.is_own, f.id,
      CASE WHEN f.id IS NULL THEN EXISTS (SELECT FROM o WHERE o.id = f.org_id) ELSE EXISTS (SELECT FROM k WHERE k.id = f.id) END
    FROM found f ORDER BY f.position
    """)

  /// Finds clients, locks what their rows refer to and their states, and reads how they stand: a round trip and a
  /// descent of each index less than one after the other. What another transaction holds is passed over.
  static let findAndLock = PostgresStatement(
    name: "find_and_lock_clients",
    """
    WITH o AS MATERIALIZED (SELECT journey_lock_organizations($1::uuid[]) AS id), found AS MATERIALIZED (
      SELECT i.position, i.org_id, COALESCE(own.id, linked.id) AS id,
        CASE WHEN own.id IS NULL THEN linked.name ELSE own.name END AS name, CASE WHEN own.id IS NULL THEN linked.email ELSE own.email END AS email,
        CASE WHEN own.id IS NULL THEN linked.phone ELSE own.phone END AS phone,
        CASE WHEN own.id IS NULL THEN linked.ai_score ELSE own.ai_score END AS ai_score,
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
      \(LockedClient.columns)
    FROM found c LEFT JOIN k ON k.id = c.id LEFT JOIN s ON s.client_id = c.id
    ORDER BY c.position
    """)

  /// Locks the clients that are known and free (their organisations, their contacts, as the foreign keys ask for, and
  /// their states), and reads how they stand: all there is to do about nearly every reference, by a descent of each
  /// index. It waits for nobody.
  ///
  /// An id in the form of a client's own that is none, but one that the source uses, is left for the second look: that
  /// its own client is merely held would have to be ruled out first.
  ///
  /// $1: the ids of clients, $2: the organisations, $3 to $5: the ids under which sources know clients.
  static let lockKnown = PostgresStatement(
    name: "lock_known_clients",
    """
    SELECT s.client_id, \(LockedClient.columns)
    FROM journey_client_state s JOIN contacts c ON c.id = s.client_id
    WHERE s.client_id = ANY ($1::uuid[] || ARRAY(SELECT client_id FROM \(linkedClients(from: 3)))) AND s.merged_into IS NULL
      AND c.org_id = ANY (ARRAY(SELECT journey_lock_organizations($2::uuid[])))
    FOR KEY SHARE OF c SKIP LOCKED FOR UPDATE OF s SKIP LOCKED
    """)

  /// Finds the clients that sources know by their own ids: tells which of those that `lockKnown` locks is whose.
  static let findLinked = PostgresStatement(
    name: "find_linked_clients", "SELECT position, client_id FROM \(linkedClients(from: 1))")

  /// The clients that sources know by their own ids, with the positions of those ids.
  /// - Parameter parameter: the number of the first of three: organisations, sources, ids.
  private static func linkedClients(from parameter: Int) -> String {
    """
    (SELECT unnest($\(parameter)::uuid[]) AS org_id, unnest($\(parameter + 1)::text[]) AS source, unnest($\(parameter + 2)::text[]) AS external_id,
          generate_subscripts($\(parameter)::uuid[], 1) AS position) AS i
        CROSS JOIN LATERAL (
          SELECT d.client_id FROM journey_identities d
          WHERE d.org_id = i.org_id AND d.source = i.source AND d.external_id = i.external_id LIMIT 1) AS l
    """
  }

  /// Claims identities for clients that are about to be created; those that are taken are not among the answer.
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

/// Addresses by which clients are found.
enum VerifiedEmail {
  /// That the address of the contact `c` is not one that anybody may have typed. One that the host has changed since is
  /// the host's.
  static let condition =
    "NOT EXISTS (SELECT FROM journey_unverified_emails u WHERE u.client_id = c.id AND lower(u.email) = lower(c.email))"
}
