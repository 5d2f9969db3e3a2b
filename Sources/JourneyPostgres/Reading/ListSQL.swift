import Journey
import PostgresClient

/// The statements about many clients. `$1` is the organisation, or NULL for all of the caller's.
///
/// Each organisation is read in a LATERAL subquery. Only then does its index return the rows in order, and the cost is
/// that of one page.
enum ListSQL {
  static let caller = PostgresStatement(
    name: "read_caller",
    """
    SELECT json_build_object(
      'userId', auth.uid(), 'operator', $1::bool,
      'organizations', COALESCE((
        SELECT json_agg(json_build_object('id', u.org_id, 'name', \(HostValues.text("o.name"))) ORDER BY o.name, u.org_id)
        FROM user_organizations u LEFT JOIN organizations o ON o.id = u.org_id WHERE u.user_id = (SELECT auth.uid())), '[]'::json))
    """)

  static let organizations = PostgresStatement(
    name: "read_organizations", "SELECT org_id FROM user_organizations WHERE user_id = (SELECT auth.uid())")

  /// Clients, ordered by the first 100 characters of the name; one statement per combination of filters. `$2` is a LIKE
  /// pattern in lower case for name and e-mail address, `$3` a stage, `$4` a risk level.
  static func clients(byText: Bool, byStage: Bool, byRisk: Bool) -> PostgresStatement {
    let filters = [
      (byText, "_text", "(lower(c.name) LIKE $2::text OR lower(c.email) LIKE $2::text)"),
      (byStage, "_stage", "s.stage = $3::text"),
      (byRisk, "_risk", "s.risk_level = $4::text"),
    ].filter(\.0)
    let beginning = "left(COALESCE(c.name, ''), 100)"
    let conditions = ["c.org_id = orgs.org_id"] + filters.map(\.2)
    return PostgresStatement(
      name: "read_clients" + filters.map(\.1).joined(),
      ReadSQL.ofOrganizations(
        ReadSQL.page(
          """
          SELECT \(ReadSQL.client) AS item, json_build_array(k.name, k.id)::text AS key
          FROM (
            SELECT r.* FROM orgs
            CROSS JOIN LATERAL (
              SELECT \(beginning) AS name, c.id FROM contacts c\(byStage || byRisk ? " JOIN journey_client_state s ON s.client_id = c.id" : "")
              WHERE \(conditions.joined(separator: " AND "))
                AND ($5::text IS NULL OR (\(beginning), c.id) > ($5::text, $6::text::uuid))
              ORDER BY \(beginning), c.id LIMIT $7::int4 + 1) r
            ORDER BY r.name, r.id LIMIT $7::int4 + 1) k
          JOIN contacts c ON c.id = k.id
          LEFT JOIN journey_client_state s ON s.client_id = c.id
          ORDER BY k.name, k.id
          """, limit: 7, isEvaluated: true)))
  }

  /// Actions; one statement per combination of filters, so that each uses an index of its own and its order (see
  /// `ReadSQL.events`). `$6` is the channel, unless it is `human`, which has an index of its own.
  static func actions(_ filter: ActionFilter) -> PostgresStatement {
    var conditions = ["TRUE"], suffix = filter.clientID == nil ? "" : "_of_client"
    if let state = filter.state {
      suffix += "_\(state.rawValue)"
      conditions.append("a.state = '\(state.rawValue)'")
      if state == .proposed {
        conditions.append("a.outbox_id IN (SELECT id FROM journey_outbox WHERE confirmed_at IS NULL)")
      }
    }
    if let channel = filter.channel {
      suffix += channel == .human ? "_human" : "_channel"
      conditions.append(channel == .human ? "a.channel = 'human'" : "a.channel = $6::text")
    }
    if filter.isOpen {
      suffix += "_open"
      conditions.append(ReadSQL.isOpen)
    }
    let isWanted = conditions.joined(separator: " AND ")
    let isAfter = "(a.decided_at, a.id) < (\(ReadSQL.timeBefore(3, 4)))"
    let isOfOrganization = "a.org_id = ANY (ARRAY(SELECT org_id FROM orgs))"
    func newest(_ condition: String) -> String {
      """
      SELECT a.* FROM journey_actions a WHERE \(condition) AND \(isWanted) AND \(isAfter)
      ORDER BY a.decided_at DESC FETCH FIRST ($5::int4 + 1) ROWS WITH TIES
      """
    }
    let found =
      switch (filter.clientID != nil, filter.state) {
      case (true, _): newest("a.client_id = $2::uuid AND \(isOfOrganization)")
      // Few actions are unpublished, so that these are found through the outbox.
      case (false, .proposed):
        """
        SELECT a.* FROM journey_outbox o CROSS JOIN LATERAL (SELECT * FROM journey_actions WHERE outbox_id = o.id OFFSET 0) a
        WHERE o.confirmed_at IS NULL AND \(isOfOrganization) AND \(isWanted) AND \(isAfter)
        ORDER BY a.decided_at DESC, a.id DESC LIMIT $5::int4 + 1
        """
      case (false, _): "SELECT r.* FROM orgs CROSS JOIN LATERAL (\(newest("a.org_id = orgs.org_id"))) r"
      }
    return PostgresStatement(
      name: "read_actions" + suffix,
      ReadSQL.ofOrganizations(
        ReadSQL.page(
          """
          SELECT json_build_object(\(ReadSQL.actionMembers), 'clientName', \(HostValues.text("c.name"))) AS item,
            json_build_array(a.decided_at::text, a.id)::text AS key
          FROM (\(found)) a
          LEFT JOIN LATERAL (SELECT name FROM contacts WHERE id = a.client_id OFFSET 0) c ON true
          ORDER BY a.decided_at DESC, a.id DESC LIMIT $5::int4 + 1
          """, limit: 5, isEvaluated: true)))
  }
}
