import AMQPClient
import Foundation
import Testing

/// Compares what the adapter stored and published with the reference, once all work is done.
struct Invariants {
  let environment: TestEnvironment
  let workload: Workload
  let profile: Profile
  /// Clients outside the workload. Their messages are ignored.
  private let outsiders: Set<String>
  private let note: Comment = "JOURNEY_TEST_SEED=\(SeededRandom.seed)"

  init(_ environment: TestEnvironment, _ workload: Workload, _ profile: Profile, outsiders: Set<String> = []) {
    self.outsiders = outsiders
    self.environment = environment
    self.workload = workload
    self.profile = profile
  }

  /// The counts that the comparison found.
  struct FailureInfo {
    var stored = 0
    /// Events that are not stored as they were sent, and actions that are in no queue.
    var lost = 0
    var actions = 0
    /// Messages that a worker receives again, with the id of an earlier one.
    var copies = 0
  }

  /// Every event is stored once, every client matches the reference, every action is in its queue, and no other queue
  /// contains messages.
  @discardableResult
  func check() async throws -> FailureInfo {
    var account = FailureInfo()
    try await checkEvents(&account)
    try await checkClients()
    try await checkActionRows()
    try await checkMessages(&account)
    #expect(try await environment.admin.messageCount(queue: "journey.ingest") == 0, note)
    #expect(try await environment.admin.messageCount(queue: "journey.dead-letters") == 0, note)
    return account
  }

  private func checkEvents(_ account: inout FailureInfo) async throws {
    let stored = try await environment.rows(
      """
      SELECT org_id, source, source_event_id, client_id, event_type, (extract(epoch FROM occurred_at) * 1000000)::bigint, metadata ->> 'note',
        CASE WHEN sets_stage THEN stage ELSE min_stage END
      FROM client_journey_events
      """)
    let wanted = workload.events.map { event in
      let stage = Reference.stage(of: event.type, profile) ?? ""
      return [
        event.client.org, event.source, event.id, event.client.id, event.type, String(event.at),
        "Grüße, \"quoted\" \u{2028} \(event.id)", stage,
      ]
    }
    #expect(stored.count == wanted.count, note)
    #expect(Set(stored) == Set(wanted), note)
    account.stored = stored.count
    account.lost += Set(wanted).subtracting(stored).count
  }

  private func checkClients() async throws {
    let rows = try await environment.rows(
      """
      SELECT DISTINCT ON (c.client_id) c.client_id, (extract(epoch FROM c.generated_at) * 1000000)::bigint, c.score::float8, c.risk_level,
        (SELECT string_agg(a.value, ',' ORDER BY a.ordinality) FROM jsonb_array_elements_text(c.recommended_actions) WITH ORDINALITY a),
        s.stage, s.score::float8, s.risk_level, array_to_string(s.risks, ','), s.org_id,
        (extract(epoch FROM s.last_event_at) * 1000000)::bigint
      FROM client_journey_scores c JOIN journey_client_state s ON s.client_id = c.client_id AND s.scored_at = c.generated_at
      ORDER BY c.client_id, c.generated_at DESC
      """)
    let byClient = Dictionary(grouping: workload.events, by: \.client)
    #expect(rows.count == byClient.count, note)
    let found = Dictionary(rows.map { ($0[0], $0) }) { first, _ in first }
    for (client, events) in byClient {
      guard let row = found[client.id], let now = Int64(row[1]) else {
        Issue.record("client \(client.id) has no score that agrees with its state; \(note)")
        continue
      }
      let wanted = Reference(profile, events, aiScore: client.aiScore, now: now)
      let why: Comment =
        "client \(client.id), \(events.count) events, ai_score \(client.aiScore ?? "NULL"), wanted \(wanted), \(note)"
      #expect(abs((Double(row[2]) ?? -1) - wanted.score) < 1e-9, why)
      #expect(row[3] == wanted.level, why)
      #expect(row[4] == wanted.actions.joined(separator: ","), why)
      #expect(row[5] == wanted.stage, why)
      #expect(row[6] == row[2] && row[7] == row[3], why)
      #expect(row[8] == wanted.risks.joined(separator: ","), why)
      #expect(row[9] == client.org, why)
      #expect(row[10] == events.map(\.at).max().map(String.init), why)
    }
  }

  /// The states in which an action may be that no worker has touched, as SQL texts.
  private var states: String { profile == .literal ? "'published'" : "'published', 'revoked', 'superseded'" }

  /// The first candidate of the score `s` that its decision did not pass over.
  private var best: String {
    """
    (SELECT c.value ->> 'action' FROM json_array_elements(s.explanation -> 'candidates') WITH ORDINALITY c
      WHERE c.value ->> 'verdict' NOT IN (
        'limited', 'unsuitable', 'pausing', 'unreachable', 'do_not_contact', 'no_consent', 'held_out')
      ORDER BY c.ordinality LIMIT 1)
    """
  }

  private func checkActionRows() async throws {
    let differing = try await environment.rows(
      """
      SELECT a.id FROM journey_actions a
      LEFT JOIN client_journey_scores s ON s.client_id = a.client_id AND s.generated_at = a.decided_at
      WHERE s.id IS NULL OR s.recommended_actions ->> 0 <> a.action AND \(best) IS DISTINCT FROM a.action OR s.risk_level <> a.risk_level OR s.score <> a.score
        OR s.event_id <> a.event_id OR s.org_id <> a.org_id OR a.state NOT IN (\(states))
        OR a.published_at IS NULL AND NOT EXISTS (
          SELECT FROM journey_action_states l WHERE l.action_id = a.id AND l.revocation = 'unsent')
      """)
    #expect(differing.isEmpty, "actions that are not the best of their score, or not published; \(note)")
    switch profile {
    case .literal:
      #expect(
        try await environment.number("SELECT count(*) FROM client_journey_scores") == workload.events.count,
        "one score an event; \(note)")
      let silent = try await environment.rows(
        """
        SELECT s.id FROM client_journey_scores s
        WHERE (s.recommended_actions ->> 0 IS NOT NULL) <> (1 = (
          SELECT count(*) FROM journey_actions a WHERE a.client_id = s.client_id AND a.decided_at = s.generated_at))
        """)
      #expect(silent.isEmpty, "one action for each score that recommends one; \(note)")
      let repeated = try await environment.rows(
        "SELECT event_id FROM client_journey_scores GROUP BY 1 HAVING count(*) > 1")
      #expect(repeated.isEmpty, "an event was evaluated twice; \(note)")
    case .defaultProfile:
      let repeated = try await environment.rows(
        """
        SELECT a.client_id, a.action FROM journey_actions a JOIN journey_actions b USING (client_id, action)
        WHERE b.id > a.id AND array_position('{low,medium,high,urgent}', b.priority) <= array_position('{low,medium,high,urgent}', a.priority)
        """)
      #expect(
        repeated.isEmpty, "the cooldown lets one action of a kind through, and another of a higher priority; \(note)")
      let missing = try await environment.rows(
        """
        SELECT s.id FROM client_journey_scores s WHERE \(best) IS NOT NULL AND NOT EXISTS (
          SELECT FROM journey_actions a
          WHERE a.client_id = s.client_id AND a.action = \(best) AND a.decided_at <= s.generated_at)
        """)
      #expect(missing.isEmpty, "the best action of each score was published then or before; \(note)")
      try await checkContacts()
    }
  }

  /// The limits of the shipped rules, checked on the actions alone: all of a workload happens within a day, so that a
  /// client gets at most one e-mail and one call that was not taken back.
  private func checkContacts() async throws {
    let doubled = try await environment.rows(
      """
      SELECT client_id, channel FROM journey_actions WHERE channel <> 'human' AND state NOT IN ('revoked', 'superseded')
      GROUP BY 1, 2 HAVING count(*) > 1
      """)
    #expect(doubled.isEmpty, "one action of a channel within its window; \(note)")
    let unexplained = try await environment.rows(
      """
      SELECT s.id FROM client_journey_scores s, json_array_elements(s.explanation -> 'candidates') c
      WHERE c ->> 'verdict' = 'limited' AND (c ->> 'until')::timestamptz <= s.generated_at
        OR c ->> 'verdict' = 'unsuitable' AND NOT EXISTS (
          SELECT FROM json_array_elements(s.explanation -> 'risks') r WHERE r ->> 'risk' = c ->> 'risk')
      """)
    #expect(unexplained.isEmpty, "what is passed over waits for something, or has a risk against it; \(note)")
  }

  private struct Body: Decodable {
    struct Details: Decodable {
      var action: String
      var channel: String
      var priority: String
      var score: Double
      var riskLevel: String
      var recommendedActions: [String]
      var decidedAt: String
      var causationId: String
    }
    var id: String
    var type: String
    var subject: String
    var orgid: String
    var data: Details
  }

  private func checkMessages(_ account: inout FailureInfo) async throws {
    var rows: [String: [String]] = [:]
    let columns = "id, channel, routing_key, score, org_id, client_id, priority, explanation -> 'cause' ->> 'id'"
    let published = "SELECT \(columns) FROM journey_actions WHERE published_at IS NOT NULL"
    for row in try await environment.rows(published) { rows[row[0]] = row }
    var revoked: Set<String> = []
    var copies: [String: [UInt8]] = [:]
    var messages = 0
    var last: [String: Body] = [:]
    for channel in ["email", "voice", "human"] {
      for delivery in try await environment.drain("journey.actions.\(channel)") {
        let id = delivery.properties.messageID ?? ""
        if delivery.properties.type == "journey.action.revoked.v1" {
          let action = String(id.prefix(36))
          #expect(copies[action] != nil, "no revocation overtakes its action; \(note)")
          revoked.insert(action)
          continue
        }
        let body = try JSONDecoder().decode(Body.self, from: Data(delivery.body))
        if outsiders.contains(body.subject) { continue }
        guard let row = rows[id] else {
          Issue.record("a message with the unknown id \(id); \(note)")
          continue
        }
        #expect(copies[id, default: delivery.body] == delivery.body, "copies of an action have the same bytes; \(note)")
        copies[id] = delivery.body
        messages += 1
        #expect(body.data.score == Double(row[3]), note)
        #expect(body.id == id && row[1] == channel && delivery.routingKey == row[2], note)
        #expect(delivery.routingKey == "\(channel).\(body.data.action).\(body.data.priority)", note)
        #expect(body.data.channel == channel && Reference.channel(of: body.data.action) == channel, note)
        #expect(body.type == "journey.action.recommended.v1" && body.orgid == row[4], note)
        #expect(body.subject == row[5] && body.data.priority == row[6], note)
        #expect(delivery.properties.correlationID == row[7] && body.data.causationId == row[7], note)
        #expect(body.data.recommendedActions.contains(body.data.action), note)
        if let known = last[body.subject], known.data.decidedAt.paddedFraction > body.data.decidedAt.paddedFraction {
          continue
        }
        last[body.subject] = body
      }
    }
    #expect(Set(copies.keys) == Set(rows.keys), "every action is in its queue; \(note)")
    let sent = try await environment.rows("SELECT action_id FROM journey_action_states WHERE revocation = 'sent'")
    #expect(Set(sent.map { $0[0] }) == revoked, "each revocation is in its queue; \(note)")
    account.actions = rows.count
    account.lost += Set(rows.keys).subtracting(copies.keys).count
    account.copies = messages - copies.count
    try await checkLast(last)
  }

  /// If the newest score of a client has recommendations, its newest message states that score.
  private func checkLast(_ last: [String: Body]) async throws {
    guard profile == .literal else { return }
    let rows = try await environment.rows(
      """
      SELECT DISTINCT ON (client_id) client_id, (extract(epoch FROM generated_at) * 1000000)::bigint
      FROM client_journey_scores ORDER BY client_id, generated_at DESC
      """)
    let moments = Dictionary(uniqueKeysWithValues: rows.map { ($0[0], Int64($0[1])!) })
    for (client, events) in Dictionary(grouping: workload.events, by: \.client) {
      guard let now = moments[client.id] else { continue }
      let wanted = Reference(profile, events, aiScore: client.aiScore, now: now)
      guard let action = wanted.actions.first else { continue }
      let data = last[client.id]?.data
      #expect(data?.action == action && data?.priority == wanted.priority && data?.riskLevel == wanted.level, note)
      #expect(abs((data?.score ?? -1) - wanted.score) < 1e-9 && data?.recommendedActions == wanted.actions, note)
    }
  }

  /// The clients' states without times: equal for any order, batch size and number of instances.
  func fingerprint() async throws -> [[String]] {
    try await environment.rows(
      "SELECT client_id, encode(summary, 'hex'), stage, score, risk_level, risks, last_event_at FROM journey_client_state ORDER BY 1"
    )
  }
}

extension String {
  /// As text, times with and without a fraction compare correctly only if all digits are present.
  fileprivate var paddedFraction: String {
    guard hasSuffix("Z") else { return self }
    let parts = dropLast().split(separator: ".", maxSplits: 1)
    let fraction = parts.count > 1 ? String(parts[1]) : ""
    return parts[0] + "." + fraction.padding(toLength: 6, withPad: "0", startingAt: 0)
  }
}
