import FoundationEssentials
import Journey
import PostgresClient

enum ActionStatements {
  /// Ends actions: revoked, superseded, expired or without response. An action that has ended already, or was run
  /// meanwhile, stays as it is. Runs under the locks of the clients' states, after the scores are inserted.
  ///
  /// Subqueries with one value make the planner look up each action by its key, even without statistics. With EXISTS it
  /// may read the whole table once instead.
  static let close = PostgresStatement(
    name: "close_actions",
    """
    INSERT INTO journey_action_states AS l (action_id, org_id, state, changed_at, history, revocation)
    SELECT i.action_id, i.org_id, i.state, i.at,
      jsonb_build_array(jsonb_build_object('state', i.state, 'at', i.at, 'recordedAt', now(), 'by', 'journey') || CASE
        WHEN i.detail IS NULL THEN '{}' ELSE jsonb_build_object('detail', i.detail) END),
      CASE WHEN i.state IN ('revoked', 'superseded') THEN 'pending' END
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::uuid[])
      AS i(action_id, org_id, state, at, detail, client_id)
    -- After a split the action is known to both clients, and belongs to one.
    WHERE (SELECT s.client_id FROM client_journey_scores s WHERE s.id = i.action_id) = i.client_id
    ORDER BY i.action_id
    ON CONFLICT (action_id) DO UPDATE
    SET state = EXCLUDED.state, changed_at = EXCLUDED.changed_at, history = l.history || EXCLUDED.history,
      revocation = EXCLUDED.revocation
    WHERE l.state IS NULL OR l.state IN ('delivered', 'opened') AND EXCLUDED.state = 'no_response'
      -- It is on the list of people, and nobody has run it yet.
      OR l.state = 'delivered' AND (SELECT s.channel FROM client_journey_scores s WHERE s.id = l.action_id) = 'human'
    """)

  /// Actions by id, with their channel.
  static let find = PostgresStatement(
    name: "find_actions",
    """
    SELECT s.id, s.org_id, s.client_id, s.channel, s.action FROM client_journey_scores s
    WHERE s.id = ANY($1::uuid[]) AND s.outbox_id IS NOT NULL
    """)

  /// What has happened to actions: read under the locks of their clients' states.
  static let lives = PostgresStatement(
    name: "action_lives",
    """
    SELECT s.id, s.client_id, l.history::text, l.snoozed_until, COALESCE(l.revocation = 'unsent', false)
    FROM client_journey_scores s LEFT JOIN journey_action_states l ON l.action_id = s.id
    WHERE s.id = ANY($1::uuid[])
    """)

  /// Writes what has happened to actions.
  static let write = PostgresStatement(
    name: "write_action_lives",
    """
    INSERT INTO journey_action_states AS l (action_id, org_id, state, changed_at, snoozed_until, history)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::jsonb[]) ORDER BY 1
    ON CONFLICT (action_id) DO UPDATE
    SET state = EXCLUDED.state, changed_at = EXCLUDED.changed_at, snoozed_until = EXCLUDED.snoozed_until,
      history = EXCLUDED.history,
      -- What was run all the same is not to be taken back any more.
      revocation = CASE WHEN l.revocation = 'pending' AND EXCLUDED.state NOT IN ('revoked', 'superseded') THEN NULL
        ELSE l.revocation END
    """)

  /// Writes the action histories of clients. Those of $3 are evaluated at once, and decided even if nothing else has
  /// changed.
  static let writeHistories = PostgresStatement(
    name: "write_action_histories",
    """
    UPDATE journey_client_state s
    SET outreach = i.outreach, updated_at = now(), redecide = s.redecide OR i.redecides,
      check_at = CASE WHEN i.redecides THEN now() ELSE s.check_at END
    FROM unnest($1::uuid[], $2::bytea[], $3::bool[]) AS i(client_id, outreach, redecides)
    WHERE s.client_id = i.client_id
    """)
}

/// Changes of earlier actions as columns.
struct ActionChangeColumns {
  private var changes: [(client: UUID, orgID: UUID, change: ActionChange)] = []

  var isEmpty: Bool { changes.isEmpty }

  @inline(__always)
  mutating func add(_ client: ClientSnapshot) {
    guard !client.actionChanges.isEmpty else { return }
    for change in client.actionChanges { changes.append((client.id, client.orgID, change)) }
  }

  mutating func add(_ made: [ActionChange], of client: UUID, in orgID: UUID) {
    for change in made { changes.append((client, orgID, change)) }
  }

  var parameters: PostgresParameters {
    PostgresParameters {
      $0.uuids(changes) { $0.change.actionID }
      $0.uuids(changes) { $0.orgID }
      $0.texts(changes) { $0.change.state?.rawValue }
      $0.timestamptzs(changes) { $0.change.at.microseconds }
      $0.texts(changes) { $0.change.detail }
      $0.uuids(changes) { $0.client }
    }
  }
}
