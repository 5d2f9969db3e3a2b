import PostgresClient

/// The lists whose order changes while a reader pages: clients at risk and upsell candidates. `$1` is the organisation,
/// or NULL for all of the caller's.
struct BoardSQL {
  /// The first page from the current state; `$2` is the limit. Its cursor contains the clients on the page.
  let first: PostgresStatement
  /// The ids of all clients on the list except `$2`, in order.
  let rest: PostgresStatement
  /// The clients `$2` in the given order, if they are still on the list; `$3` is the next cursor.
  let items: PostgresStatement

  /// The maximum number of ids kept of a list.
  static let most = 100_000

  /// CRITICAL before HIGH (also the alphabetical order), then by score.
  static let highRisk = BoardSQL(
    name: "high_risk", condition: "s.risk_level IN ('HIGH', 'CRITICAL')", order: "s.risk_level, s.score, s.client_id")

  static let upsell = BoardSQL(
    name: "upsell", condition: "s.stage = 'upsell_candidate' AND s.score IS NOT NULL", order: "-s.score, s.client_id")

  private init(name: String, condition: String, order: String) {
    first = PostgresStatement(
      name: "read_" + name,
      ReadSQL.ofOrganizations(
        """
        SELECT json_build_object(
          'asOf', \(ReadSQL.evaluatedUntil),
          'items', COALESCE(json_agg(p.item ORDER BY p.n) FILTER (WHERE p.n <= $2::int4), '[]'::json),
          'nextCursor', CASE WHEN count(*) > $2::int4 THEN
            translate(encode(convert_to(json_build_array('after', replace(encode(
              string_agg(uuid_send(p.client_id), ''::bytea ORDER BY p.n) FILTER (WHERE p.n <= $2::int4), 'base64'), E'\\n', ''))::text, 'UTF8'),
              'base64'), E'+/=\\n', '-_') END)
        FROM (
          SELECT \(ReadSQL.client) AS item, s.client_id, row_number() OVER (ORDER BY \(order)) AS n
          FROM (
            SELECT r.* FROM orgs
            CROSS JOIN LATERAL (
              SELECT * FROM journey_client_state s WHERE s.org_id = orgs.org_id AND \(condition) ORDER BY \(order) LIMIT $2::int4 + 1) r
            ORDER BY \(order.replacing("s.", with: "r.")) LIMIT $2::int4 + 1) s
          JOIN contacts c ON c.id = s.client_id) p
        """))
    rest = PostgresStatement(
      name: "read_rest_of_" + name,
      ReadSQL.ofOrganizations(
        """
        SELECT COALESCE(array_agg(p.client_id ORDER BY p.n), '{}')
        FROM (
          SELECT s.client_id, row_number() OVER (ORDER BY \(order)) AS n
          FROM orgs JOIN journey_client_state s ON s.org_id = orgs.org_id AND \(condition)
          WHERE s.client_id <> ALL ($2::uuid[]) ORDER BY \(order) LIMIT \(Self.most)) p
        """))
    items = PostgresStatement(
      name: "read_items_of_" + name,
      ReadSQL.ofOrganizations(
        """
        SELECT json_build_object(
          'asOf', \(ReadSQL.evaluatedUntil),
          'items', COALESCE(json_agg(\(ReadSQL.client) ORDER BY k.n), '[]'::json), 'nextCursor', $3::text)
        FROM unnest($2::uuid[]) WITH ORDINALITY AS k(id, n)
        JOIN journey_client_state s ON s.client_id = k.id AND \(condition)
        JOIN contacts c ON c.id = k.id
        WHERE s.org_id = ANY (ARRAY(SELECT org_id FROM orgs))
        """))
  }
}
