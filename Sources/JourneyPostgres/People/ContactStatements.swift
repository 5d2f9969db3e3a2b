import PostgresClient

/// The statements of imports. $1 is the organisation.
enum ContactStatements {
  /// Imports into one organisation follow each other, so that two of them add nobody twice.
  static let lock = PostgresStatement(
    name: "lock_contact_import",
    "SELECT pg_advisory_xact_lock(hashtextextended('journey contacts ' || $1::uuid::text, 0))")

  /// The clients of ids; NULL for contacts of other organisations.
  static let byID = PostgresStatement(
    name: "contacts_by_id",
    """
    SELECT c.id, CASE WHEN c.org_id = $1 THEN COALESCE(s.merged_into, c.id) END
    FROM contacts c LEFT JOIN journey_client_state s ON s.client_id = c.id WHERE c.id = ANY ($2::uuid[])
    """)

  static let byEmail = PostgresStatement(
    name: "contacts_by_email",
    """
    SELECT DISTINCT i.email, COALESCE(s.merged_into, c.id)
    FROM unnest($2::text[]) AS i(email) JOIN contacts c ON c.org_id = $1 AND lower(c.email) = lower(i.email) AND \(VerifiedEmail.condition)
    LEFT JOIN journey_client_state s ON s.client_id = c.id
    """)

  static let bySourceID = PostgresStatement(
    name: "contacts_by_source_id",
    """
    SELECT d.source, d.external_id, COALESCE(s.merged_into, d.client_id)
    FROM unnest($2::text[], $3::text[]) AS i(source, external_id)
    JOIN journey_identities d ON d.org_id = $1 AND d.source = i.source AND d.external_id = i.external_id
    LEFT JOIN journey_client_state s ON s.client_id = d.client_id
    """)

  static let read = PostgresStatement(
    name: "read_contacts",
    "SELECT id, name::text, email::text, phone::text, time_zone::text FROM contacts WHERE org_id = $1 AND id = ANY ($2::uuid[])"
  )

  private static let rows =
    "unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[]) AS i(id, name, email, phone, time_zone)"

  static let insert = PostgresStatement(
    name: "import_contacts",
    """
    INSERT INTO contacts (id, org_id, name, email, phone, time_zone)
    SELECT id, $1::uuid, name, email, phone, time_zone FROM \(rows)
    """)

  static let hasUpdateTime = PostgresStatement(
    name: "contacts_have_update_time",
    """
    SELECT EXISTS (
      SELECT FROM pg_attribute WHERE attrelid = to_regclass('contacts') AND attname = 'updated_at' AND NOT attisdropped)
    """)

  static func update(_ hasUpdateTime: Bool) -> PostgresStatement {
    PostgresStatement(
      name: "complete_contacts",
      """
      UPDATE contacts c SET name = i.name, email = i.email, phone = i.phone, time_zone = i.time_zone\(
        hasUpdateTime ? ", updated_at = now()" : "")
      FROM \(rows) WHERE c.org_id = $1 AND c.id = i.id
      """)
  }

  static let link = PostgresStatement(
    name: "link_source_ids",
    """
    WITH new AS (
      INSERT INTO journey_identities (org_id, source, external_id, client_id, via)
      SELECT $1::uuid, source, external_id, client_id, 'operator' FROM unnest($2::text[], $3::text[], $4::uuid[]) AS i(source, external_id, client_id)
      ON CONFLICT (org_id, source, external_id) DO NOTHING RETURNING source, external_id, client_id
    ), logged AS (
      INSERT INTO journey_identity_log (org_id, action, source, external_id, client_id, actor, why)
      SELECT $1::uuid, 'linked', source, external_id, client_id, $5::text, $6::text FROM new
    )
    SELECT client_id FROM new
    """)

  static let list = PostgresStatement(
    name: "list_contacts",
    """
    SELECT c.id, c.name::text, c.email::text, c.phone::text, c.time_zone::text,
      ARRAY(SELECT d.source || ' ' || d.external_id FROM journey_identities d WHERE d.client_id = c.id ORDER BY 1)
    FROM contacts c
    WHERE c.org_id = $1 AND ($2::text IS NULL OR c.id::text = lower($2)
      OR strpos(lower(concat_ws(' ', c.name, c.email, c.phone)), lower($2)) > 0
      OR EXISTS (SELECT FROM journey_identities d WHERE d.org_id = $1 AND d.client_id = c.id AND d.external_id = $2))
    ORDER BY c.name::text, c.id LIMIT $3
    """)
}
