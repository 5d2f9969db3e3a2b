import Journey
import PostgresClient

/// SQL fragments that the readers' statements share.
///
/// The database composes each answer: one statement, one round trip, and rows that row level security hides never leave
/// the database. Member names are those of `contracts/openapi.yaml`.
enum ReadSQL {
  /// Sets the caller's claims, which the policies check, and UTC for the rest of the transaction.
  static let claims = PostgresStatement(
    name: "read_claims", "SELECT set_config('request.jwt.claims', $1::text, true), set_config('TimeZone', 'UTC', true)")

  /// The caller's organisations, or only `$1` if it is given. Evaluated first, so that the rest of the statement can
  /// use an index on the organisation.
  static let organizations = """
    orgs AS MATERIALIZED (
      SELECT org_id FROM user_organizations WHERE user_id = (SELECT auth.uid()) AND ($1::uuid IS NULL OR org_id = $1::uuid)
    )
    """

  /// A statement that returns NULL if `$1` is not one of the caller's organisations.
  static func ofOrganizations(_ document: String) -> String {
    "WITH \(organizations) SELECT CASE WHEN $1::uuid IS NULL OR EXISTS (SELECT FROM orgs) THEN (\(document)) END"
  }

  /// The time up to which all clients are evaluated, rounded to ten seconds, so that an unchanged answer keeps its
  /// entity tag. It holds for the rows that the same statement reads.
  static let evaluatedUntil = evaluated(until: "(SELECT journey_evaluated_until())")

  static func evaluated(until moment: String) -> String {
    "date_bin('10 seconds', \(HostValues.moment(moment)), '2000-01-01 00:00:00+00')"
  }

  /// One page as `{items, nextCursor}`, with `asOf` if it is evaluated.
  ///
  /// - Parameters:
  ///   - rows: an ordered query with the columns `item` (json) and `key` (text: a JSON array of the sort keys), with at
  ///     most one row more than the limit.
  ///   - limit: the number of the parameter that holds the limit.
  ///   - isEvaluated: whether the page shows evaluations of clients.
  static func page(_ rows: String, limit: Int, isEvaluated: Bool = false) -> String {
    """
    SELECT json_build_object(\(isEvaluated ? "\n  'asOf', \(evaluatedUntil)," : "")
      'items', COALESCE(json_agg(p.item ORDER BY p.n) FILTER (WHERE p.n <= $\(limit)::int4), '[]'::json),
      'nextCursor', CASE WHEN count(*) > $\(limit)::int4 THEN
        translate(encode(convert_to(max(p.key) FILTER (WHERE p.n = $\(limit)::int4), 'UTF8'), 'base64'), E'+/=\\n', '-_') END)
    FROM (SELECT q.item, q.key, row_number() OVER () AS n FROM (\(rows)) q) p
    """
  }

  /// A client in a list. Requires `c` (contacts) and `s` (journey_client_state).
  static let client = """
    json_build_object(
      'clientId', c.id, 'orgId', c.org_id, 'name', \(HostValues.text("c.name")), 'email', \(HostValues.text("c.email")),
      'stage', COALESCE(s.stage, 'lead'), 'stageSince', \(HostValues.time("s.stage_at")), 'score', \(HostValues.number("s.score")),
      'riskLevel', s.risk_level, 'risks', to_json(COALESCE(s.risks, '{}')),
      'lastEventAt', \(HostValues.time("s.last_event_at")), 'generatedAt', s.scored_at)
    """

  /// Requires `a` (journey_actions).
  static let actionMembers = """
    'id', a.id, 'clientId', a.client_id, 'orgId', a.org_id, 'action', a.action, 'channel', a.channel, 'priority', a.priority,
    'reason', a.reason, 'score', \(HostValues.number("a.score")), 'riskLevel', \(HostValues.text("a.risk_level")),
    'state', a.state, 'decidedAt', \(HostValues.moment("a.decided_at")),
    'expiresAt', a.expires_at, 'publishedAt', a.published_at, 'changedAt', a.changed_at, 'snoozedUntil', a.snoozed_until
    """

  /// Whether an action's time has run out: from when it was decided, or from when it was snoozed until.
  static let isExpired =
    "COALESCE(GREATEST(a.expires_at, a.snoozed_until + (a.expires_at - a.decided_at)) <= clock_timestamp(), false)"

  /// Whether something may still happen to an action. Bounded by time, because without rules for it no life ends.
  static let isOpen = """
    (a.state IN ('delivered', 'opened') OR a.state IN ('proposed', 'held', 'published') AND NOT \(isExpired))
      AND a.decided_at > now() - interval '180 days'
    """

  /// Why an action must not be run; NULL: it may.
  static let because = """
    CASE WHEN a.state NOT IN ('proposed', 'published') THEN a.state WHEN \(isExpired) THEN 'expired'
      WHEN a.snoozed_until > clock_timestamp() THEN 'snoozed' WHEN journey_is_held(a.id) THEN 'held' END
    """

  /// What has happened to an action, oldest first.
  static let life = """
    SELECT json_agg(h.entry ORDER BY h.n)
    FROM (
      SELECT 0 AS n, json_build_object('state', 'proposed', 'at', \(HostValues.moment("a.decided_at")), 'by', 'journey') AS entry
      UNION ALL SELECT 1, json_build_object('state', 'published', 'at', a.published_at, 'by', 'journey') WHERE a.published_at IS NOT NULL
      UNION ALL SELECT 1 + e.n, json_strip_nulls(e.entry::json) FROM jsonb_array_elements(a.history) WITH ORDINALITY AS e(entry, n)) h
    """

  /// Requires `e` (client_journey_events).
  static let event = """
    json_build_object(
      'id', e.id, 'clientId', e.client_id, 'stage', \(HostValues.text("e.stage")), 'setsStage', e.sets_stage,
      'eventType', \(HostValues.text("e.event_type")), 'occurredAt', \(HostValues.moment("e.occurred_at")),
      'source', e.source, 'sourceEventId', e.source_event_id, 'voidedAt', e.voided_at, 'metadata', \(HostValues.object("e.metadata")))
    """

  /// The events of the client in parameter `client`, after the keys in `at` and `id`. The query reads in the order of
  /// the index, so no plan sorts a whole history. Events with the same time are sorted afterwards.
  static func events(client: Int, at: Int, id: Int, limit: Int) -> String {
    page(
      """
      SELECT \(event) AS item, json_build_array(e.occurred_at::text, e.id)::text AS key
      FROM (
        SELECT * FROM client_journey_events e
        WHERE e.client_id = $\(client)::uuid AND e.occurred_at IS NOT NULL AND (e.occurred_at, e.id) < (\(timeBefore(at, id)))
        ORDER BY e.occurred_at DESC FETCH FIRST ($\(limit)::int4 + 1) ROWS WITH TIES) e
      ORDER BY e.occurred_at DESC, e.id DESC LIMIT $\(limit)::int4 + 1
      """, limit: limit)
  }

  /// The start of a page that is ordered by time and id, newest first: the keys in the parameters, or infinity if they
  /// are NULL.
  ///
  /// A condition with "OR … IS NULL" would make a generic plan read and drop all newer rows. CASE instead of COALESCE:
  /// COALESCE counts as leaky, so it would be applied after the policies and not by the index.
  static func timeBefore(_ at: Int, _ id: Int) -> String {
    """
    CASE WHEN $\(at)::text IS NULL THEN 'infinity'::timestamptz ELSE $\(at)::text::timestamptz END,
    CASE WHEN $\(id)::text IS NULL THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid ELSE $\(id)::text::uuid END
    """
  }

  private static let passedOver = Decision.Verdict.namesOfPassedOver.map { "'\($0)'" }.joined(separator: ", ")

  /// The members of a next action, from a client's evaluation `l`: the best candidate that is not passed over, with the
  /// pending action if there is one.
  static let nextAction = """
    SELECT json_build_object(
      'action', b.value ->> 'action', 'channel', b.value ->> 'channel', 'reason', b.value ->> 'reason', 'trigger', b.value ->> 'trigger',
      'verdict', b.value ->> 'verdict', 'until', b.value ->> 'until',
      'priority', CASE
        WHEN a.decided_at = l.generated_at AND l.cause IS NOT NULL THEN a.priority WHEN l.priority IS NOT NULL THEN l.priority
        WHEN l.risk_level = 'CRITICAL' THEN 'urgent'
        WHEN l.risk_level = 'HIGH' THEN 'high' WHEN l.risk_level = 'MEDIUM' THEN 'medium' ELSE 'low' END,
      'actionId', a.id, 'state', a.state, 'decidedAt', \(HostValues.time("a.decided_at")), 'publishedAt', a.published_at)
    FROM (
      SELECT c.value FROM json_array_elements(l.explanation -> 'candidates') WITH ORDINALITY AS c(value, n)
      WHERE c.value ->> 'verdict' NOT IN (\(passedOver)) ORDER BY c.n LIMIT 1) b
    LEFT JOIN LATERAL (
      SELECT a.* FROM journey_actions a
      WHERE a.client_id = l.client_id AND a.action = b.value ->> 'action'
      ORDER BY a.decided_at DESC LIMIT 1) a ON true
    WHERE b.value IS NOT NULL
    """
}
