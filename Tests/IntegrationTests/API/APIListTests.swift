import Foundation
import TestServers
import Testing

@testable import TestSupport

/// The API's lists with any parameters and any stored values.
@Suite struct APIListTests {
  private static let org = "0a000000-0000-4000-8000-00000000000a", user = "0d000000-0000-4000-8000-0000000000aa"
  private static func client(_ number: Int) -> String { "0c000000-0000-4000-8000-" + String(format: "%012x", number) }

  /// Clients at risk in one organisation, with different scores.
  private func seed(_ api: APIEnvironment, _ count: Int) async throws {
    try await api.environment.execute(
      """
      INSERT INTO organizations (id, name) VALUES ('\(Self.org)', 'Alpha');
      INSERT INTO user_organizations (user_id, org_id) VALUES ('\(Self.user)', '\(Self.org)');
      INSERT INTO contacts (id, org_id, name)
        SELECT ('0c000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, '\(Self.org)', 'Client ' || n FROM generate_series(1, \(count)) AS n;
      INSERT INTO journey_client_state (client_id, org_id, stage, score, risk_level, scored_at)
        SELECT id, org_id, 'upsell_candidate', 10 + (row_number() OVER (ORDER BY id)), 'HIGH', now() FROM contacts;
      -- Nobody has done anything: looked at, all would be cleared.
      UPDATE journey_client_state SET check_at = NULL
      """)
  }

  @Test(arguments: ["high-risk", "upsell"])
  func aListThatMovesIsReadWholeAndOnce(_ list: String) async throws {
    try await APIEnvironment.with { api in
      try await seed(api, 60)
      let token = APIEnvironment.token(Self.user)
      var seen: [String] = [], cursor: String?
      repeat {
        let page = try await api.get("/api/journey/\(list)?limit=7" + (cursor.map { "&cursor=\($0)" } ?? ""), token)
        #expect(page.status == 200, "\(page.body)")
        let items = try #require(page.json["items"] as? [[String: Any]])
        seen += items.compactMap { $0["clientId"] as? String }
        cursor = page.json["nextCursor"] as? String
        // Reverses the order of all scores.
        try await api.environment.execute(
          "UPDATE journey_client_state SET score = 90 - score, risk_level = CASE WHEN score < 50 THEN 'CRITICAL' ELSE 'HIGH' END"
        )
      } while cursor != nil && seen.count < 200
      #expect(Set(seen).count == 60, "none is missed")
      #expect(seen.count == 60, "none comes twice")
      // A list that is kept for one user is not available to another.
      let first = try await api.get("/api/journey/\(list)?limit=7", token)
      let second = try await api.get(
        "/api/journey/\(list)?limit=7&cursor=\(try #require(first.json["nextCursor"] as? String))", token)
      let kept = try #require(second.json["nextCursor"] as? String)
      try await api.environment.execute(
        "INSERT INTO user_organizations (user_id, org_id) VALUES ('0d000000-0000-4000-8000-0000000000ab', '\(Self.org)')"
      )
      #expect(
        try await api.get(
          "/api/journey/\(list)?limit=7&cursor=\(kept)", APIEnvironment.token("0d000000-0000-4000-8000-0000000000ab")
        ).status == 404)
      #expect(try await api.get("/api/journey/\(list)?limit=7&cursor=\(kept)", token).status == 200)
      // It does not show clients that the user may no longer see.
      try await api.environment.execute("DELETE FROM user_organizations WHERE user_id = '\(Self.user)'")
      let gone = try await api.get("/api/journey/\(list)?limit=7&cursor=\(kept)", token)
      #expect(gone.status == 200 && (gone.json["items"] as? [Any])?.isEmpty == true, "\(gone.body)")
    }
  }

  @Test func invalidParametersAreReportedByNameAndValue() async throws {
    try await APIEnvironment.with(["API_REQUESTS_PER_SECOND": "10000"]) { api in
      try await seed(api, 1)
      let token = APIEnvironment.token(Self.user, operations: true)
      let j = "/api/journey/", o = "/api/operations/", id = Self.client(1)
      let parameters: [(String, [String])] = [
        (j + "me", []), (j + "client/\(id)", []), (j + "client/\(id)/events", ["cursor", "limit"]),
        (j + "next-action/\(id)", []),
        (j + "high-risk", ["organization", "cursor", "limit"]), (j + "upsell", ["organization", "cursor", "limit"]),
        (j + "clients", ["organization", "stage", "riskLevel", "cursor", "limit"]),
        (j + "actions", ["organization", "clientId", "state", "open", "cursor", "limit"]),
        (j + "stages", ["organization", "days"]),
        (j + "stats", ["organization", "days"]), (o + "overview", []),
        (o + "dead-letters", ["state", "organization", "since", "until", "cursor", "limit"]), (o + "replays/1", []),
        ("/health", []), ("/ready", []),
      ]
      func refused(_ path: String, _ query: String, naming words: [String]) async throws {
        // Raw bytes, because a URL would correct them.
        let wire = try Wire(api.port)
        wire.send(
          "GET \(path)?\(query) HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\nConnection: close\r\n\r\n")
        let answer = try #require(WireAnswer.parse(wire.all().text, ["GET"]).answers.first)
        let errors =
          ((try? JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any])?["errors"]
            as? [[String: String]]) ?? []
        #expect(answer.status == 400, "\(path)?\(query): \(answer.status)")
        let text = errors.map { "\($0["field"] ?? "") \($0["message"] ?? "")" }.joined()
        for word in words { #expect(text.contains(word), "\(path)?\(query): \(answer.body)") }
      }
      for (path, names) in parameters {
        try await refused(path, "surprise=1", naming: ["surprise"])
        try await refused(path, "%zz=1", naming: ["%zz"])
        for name in names {
          try await refused(path, "\(name)=nope", naming: [name, "nope"])
          try await refused(path, "\(name)=%ff", naming: [name, "%ff"])
          try await refused(path, "\(name)=", naming: [name])
        }
      }
      for path in [j + "high-risk", j + "upsell"] {
        // Cursors of other lists, and invalid ones.
        for cursor in [
          #"["2026-01-01T00:00:00Z","\#(id)"]"#, #"["after",""]"#, #"["after","AAAA"]"#, #"["kept","x","1"]"#,
          #"["kept","\#(id)","-1"]"#,
          #"["kept","\#(id)"]"#, "[]", "{}", "1",
        ] {
          let text = Data(cursor.utf8).base64EncodedString().replacing("=", with: "").replacing("+", with: "-")
            .replacing("/", with: "_")
          #expect(try await api.get("\(path)?cursor=\(text)", token).status == 400, "\(path) \(cursor)")
        }
        let stranger = Data(#"["kept","\#(id)","1"]"#.utf8).base64EncodedString().replacing("=", with: "")
        #expect(try await api.get("\(path)?cursor=\(stranger)", token).status == 404)
      }
    }
  }

  @Test func aKeyIsForOneEvent() async throws {
    try await APIEnvironment.with { api in
      try await seed(api, 2)
      let token = APIEnvironment.token(Self.user)
      func post(
        _ key: String, _ client: Int = 1, type: String = "subscription_renewed", more: String = "",
        as token: String? = nil
      ) async throws
        -> APIEnvironment.Answer
      {
        let body = #"{"clientId":"\#(Self.client(client))","stage":"retention","eventType":"\#(type)"\#(more)}"#
        return try await api.send(
          "POST", "/api/journey/event", token ?? APIEnvironment.token(Self.user), headers: ["Idempotency-Key": key],
          body: body)
      }
      let first = try await post("k")
      #expect(first.status == 202)
      for other in [
        try await post("k", 2), try await post("k", type: "meeting_scheduled"),
        try await post("k", more: #","metadata":{"a":1}"#),
        try await post("k", more: #","occurredAt":"2026-01-01T00:00:00Z""#),
      ] {
        #expect(
          other.status == 422 && other.headers["content-type"] == "application/problem+json"
            && other.body.contains("Idempotency-Key"), "\(other.body)")
      }
      let again = try await post("k")
      #expect(again.status == 202 && again.body == first.body, "the same event has the same answer")
      #expect(try await post("l").json["eventId"] as? String != first.json["eventId"] as? String)
      // Of two concurrent requests one is the first.
      async let one = post("m", 1), two = post("m", 2)
      #expect(Set([try await one.status, try await two.status]) == [202, 422])
      try await api.environment.execute(
        "INSERT INTO user_organizations (user_id, org_id) VALUES ('0d000000-0000-4000-8000-0000000000ab', '\(Self.org)')"
      )
      #expect(
        try await post("k", 2, as: APIEnvironment.token("0d000000-0000-4000-8000-0000000000ab")).status == 202,
        "another user's key is another key")
      try await api.environment.settles(events: 4, api.program)
      #expect(token.isEmpty == false)
    }
  }

  @Test func aRemovedMemberAndAnEndedTokenAreShownNothingMore() async throws {
    try await APIEnvironment.with { api in
      try await seed(api, 1)
      func watch(_ token: String) throws -> Wire {
        let wire = try Wire(api.port)
        wire.send("GET /api/journey/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\n\r\n")
        return wire
      }
      let other = "0d000000-0000-4000-8000-0000000000ab"
      try await api.environment.execute(
        "INSERT INTO user_organizations (user_id, org_id) VALUES ('\(other)', '\(Self.org)')")
      let removed = try watch(APIEnvironment.token(Self.user)), kept = try watch(APIEnvironment.token(other)),
        short = try watch(APIEnvironment.token(other, expires: 4))
      for wire in [removed, kept, short] { #expect(wire.reads("event: ready")) }
      try await api.environment.execute("DELETE FROM user_organizations WHERE user_id = '\(Self.user)'")
      let began = ContinuousClock.now
      #expect(removed.all().isEnded, "its stream ends")
      #expect(.now - began < .seconds(5), "within seconds")
      // The token's five seconds of leeway are added to its lifetime.
      #expect(short.all().isEnded)
      #expect(.now - began < .seconds(12))
      try await api.environment.execute(
        "SELECT pg_notify((SELECT 'journey_changes_' || value FROM journey_secrets), '\(Self.org) \(Self.client(1))')")
      #expect(kept.reads("event: change"), "who is still a member still watches")
    }
  }

  @Test func whateverTheHostWroteIsAnsweredInNumbersAndTimes() async throws {
    try await APIEnvironment.with { api in
      try await seed(api, 8)
      // Within the limits of the host's and the adapter's columns.
      try await api.environment.execute(
        """
        INSERT INTO client_journey_scores (client_id, org_id, score, risk_level, generated_at)
          SELECT id, org_id, CASE WHEN id::text LIKE '%1' THEN 'NaN'::numeric ELSE 20 END, 'HIGH',
            CASE WHEN id::text LIKE '%2' THEN 'infinity' WHEN id::text LIKE '%3' THEN '-infinity' WHEN id::text LIKE '%4' THEN '294276-12-31 23:59:59+00'
              WHEN id::text LIKE '%5' THEN '0044-03-15 00:00:00+00 BC' ELSE now() END::timestamptz
          FROM contacts;
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type, occurred_at)
          SELECT c.id, c.org_id, 'retention', 'note', t::timestamptz FROM contacts c,
            unnest(ARRAY['infinity', '-infinity', '294276-12-31 23:59:59+00', '0044-03-15 00:00:00+00 BC', '2026-01-01 00:00:00+00']) AS t
          WHERE c.id::text LIKE '%1';
        UPDATE journey_client_state SET score = 'NaN' WHERE client_id::text LIKE '%1';
        UPDATE journey_client_state SET stage_at = 'infinity', last_event_at = '294276-12-31 23:59:59+00' WHERE client_id::text LIKE '%2';
        UPDATE journey_client_state SET stage_at = '-infinity', due_at = 'infinity', last_event_at = '0044-03-15 00:00:00+00 BC' WHERE client_id::text LIKE '%3';
        """)
      let token = APIEnvironment.token(Self.user)
      var paths = ["high-risk", "upsell", "clients", "actions", "stages", "stats"]
      for number in 1...8 {
        paths += [
          "client/\(Self.client(number))", "client/\(Self.client(number))/events", "next-action/\(Self.client(number))",
        ]
      }
      for path in paths {
        let answer = try await api.get("/api/journey/" + path, token)
        #expect(answer.status == 200, "\(path): \(answer.body)")
        let document = try JSONSerialization.jsonObject(with: Data(answer.body.utf8))
        for problem in Self.oddities(document) { Issue.record("\(path): \(problem)") }
      }
      var cursor: String?, seen = 0
      repeat {
        let page = try await api.get(
          "/api/journey/client/\(Self.client(1))/events?limit=2" + (cursor.map { "&cursor=\($0)" } ?? ""), token)
        seen += (page.json["items"] as? [Any])?.count ?? 0
        cursor = page.json["nextCursor"] as? String
      } while cursor != nil && seen < 20
      #expect(seen == 5, "pages go through such times as well")
    }
  }

  /// Members that the contract defines as numbers or times, but that are neither.
  private static func oddities(_ value: Any, _ name: String = "$") -> [String] {
    switch value {
    case let object as [String: Any]: return object.flatMap { oddities($0.value, $0.key) }
    case let list as [Any]: return list.flatMap { oddities($0, name) }
    case let text as String:
      if ["score", "points", "averageDays", "clients", "stuck"].contains(name) {
        return ["\(name) is the text \(text)"]
      }
      let isTime = name.hasSuffix("At") || name.hasSuffix("Since") || name == "at"
      return isTime && text.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)/) == nil
        ? ["\(name) is \(text)"] : []
    default: return []
    }
  }
}
