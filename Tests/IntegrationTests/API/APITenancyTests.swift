import Foundation
import TestServers
import Testing

@testable import TestSupport

/// Every route for every kind of caller. The database decides, and objects of other tenants look like missing ones.
@Suite struct APITenancyTests {
  private static let orgA = "0a000000-0000-4000-8000-00000000000a", orgB = "0a000000-0000-4000-8000-00000000000b"
  private static let clientA = "0c000000-0000-4000-8000-0000000000a1", clientB = "0c000000-0000-4000-8000-0000000000b1"
  private static let memberA = "0d000000-0000-4000-8000-0000000000aa", both = "0d000000-0000-4000-8000-0000000000ab"
  private static let nobody = "0d000000-0000-4000-8000-0000000000ff"
  private static let unknown = "0e000000-0000-4000-8000-000000000001"

  /// Two organisations, each with a client at HIGH risk, an upsell candidate, and one invalid event.
  private func seed(_ api: APIEnvironment) async throws {
    try await api.environment.execute(
      """
      INSERT INTO organizations (id, name) VALUES ('\(Self.orgA)', 'Alpha'), ('\(Self.orgB)', 'Beta');
      INSERT INTO contacts (id, org_id, name, email, ai_score) VALUES
        ('\(Self.clientA)', '\(Self.orgA)', 'Ada Alpha', 'ada@alpha.example', 60), ('\(Self.clientB)', '\(Self.orgB)', 'Bo Beta', 'bo@beta.example', 60),
        ('0c000000-0000-4000-8000-0000000000a2', '\(Self.orgA)', 'Anna Alpha', 'anna@alpha.example', 60),
        ('0c000000-0000-4000-8000-0000000000b2', '\(Self.orgB)', 'Bea Beta', 'bea@beta.example', 60);
      INSERT INTO user_organizations (user_id, org_id) VALUES
        ('\(Self.memberA)', '\(Self.orgA)'), ('\(Self.both)', '\(Self.orgA)'), ('\(Self.both)', '\(Self.orgB)');
      """)
    let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
    var events: [WorkloadEvent] = []
    for (org, client, upsell) in [
      (Self.orgA, Self.clientA, "0c000000-0000-4000-8000-0000000000a2"),
      (Self.orgB, Self.clientB, "0c000000-0000-4000-8000-0000000000b2"),
    ] {
      let bad = WorkloadClient(id: client, org: org, aiScore: "60", quietDays: 0, types: [], weight: 1)
      let good = WorkloadClient(id: upsell, org: org, aiScore: "60", quietDays: 0, types: [], weight: 1)
      func event(_ of: WorkloadClient, _ number: Int, _ type: String, sentiment: String? = nil, invoice: String? = nil)
        -> WorkloadEvent
      {
        WorkloadEvent(
          id: "\(of.id)-\(number)", source: "/crm", client: of, type: type,
          at: now - Int64(20 - number) * 3_600_000_000, sentiment: sentiment,
          invoice: invoice)
      }
      events += [
        event(bad, 1, "contract_signed"), event(bad, 2, "invoice_overdue", invoice: #""in_1""#),
        event(bad, 3, "ticket_opened", sentiment: "negative"), event(bad, 4, "ticket_opened", sentiment: "negative"),
        event(bad, 5, "ticket_opened"),
        event(good, 1, "usage_high"),
      ]
    }
    try await api.environment.publish(events.map(\.message))
    try await api.environment.settles(events: events.count, api.program)
  }

  private struct Route {
    var path: String
    /// Whether the path names a client, an action or an organisation of A.
    var isOfA: Bool
    var isOperations = false
  }

  private func routes(_ api: APIEnvironment) async throws -> [Route] {
    let action = try await api.environment.rows(
      "SELECT id FROM journey_actions WHERE client_id = '\(Self.clientA)' LIMIT 1")[
        0][0]
    let j = "/api/journey/"
    return [
      Route(path: j + "me", isOfA: false), Route(path: j + "client/\(Self.clientA)", isOfA: true),
      Route(path: j + "client/\(Self.clientA)/events", isOfA: true),
      Route(path: j + "next-action/\(Self.clientA)", isOfA: true),
      Route(path: j + "high-risk", isOfA: false), Route(path: j + "high-risk?organization=\(Self.orgA)", isOfA: true),
      Route(path: j + "upsell", isOfA: false), Route(path: j + "upsell?organization=\(Self.orgA)", isOfA: true),
      Route(path: j + "clients?q=a", isOfA: false), Route(path: j + "clients?organization=\(Self.orgA)", isOfA: true),
      Route(path: j + "actions", isOfA: false), Route(path: j + "actions?organization=\(Self.orgA)", isOfA: true),
      Route(path: j + "actions/\(action)", isOfA: true), Route(path: j + "stages", isOfA: false),
      Route(path: j + "stages?organization=\(Self.orgA)&days=90", isOfA: true),
      Route(path: j + "stats?days=7", isOfA: false),
      Route(path: j + "stats?organization=\(Self.orgA)", isOfA: true),
      Route(path: "/api/operations/overview", isOfA: false, isOperations: true),
      Route(path: "/api/operations/dead-letters", isOfA: false, isOperations: true),
      Route(path: "/api/operations/dead-letters/\(Self.unknown)", isOfA: false, isOperations: true),
      Route(path: "/api/operations/replays/1", isOfA: false, isOperations: true),
    ]
  }

  @Test func everyRouteForEveryCaller() async throws {
    try await APIEnvironment.with { api in
      try await seed(api)
      let routes = try await routes(api)
      let ofA = [Self.orgA, Self.clientA, "Ada Alpha", "Alpha"], ofB = [Self.orgB, Self.clientB, "Bo Beta", "Beta"]
      let own = APIEnvironment.token(Self.memberA), two = APIEnvironment.token(Self.both),
        none = APIEnvironment.token(Self.nobody)
      for route in routes {
        let wanted = route.isOperations ? 403 : 200
        let mine = try await api.get(route.path, own)
        #expect(mine.status == wanted, "own: \(route.path): \(mine.body)")
        for secret in ofB { #expect(!mine.body.contains(secret), "own: \(route.path) shows \(secret)") }
        let all = try await api.get(route.path, two)
        #expect(all.status == wanted, "two: \(route.path)")
        let outside = try await api.get(route.path, none)
        #expect(
          outside.status == (route.isOperations ? 403 : route.isOfA ? 404 : 200),
          "no membership: \(route.path): \(outside.body)")
        for secret in ofA + ofB where !route.path.contains(secret) {
          #expect(!outside.body.contains(secret), "nobody: \(route.path) shows \(secret)")
        }
      }
      try await othersAreNotThere(api, own)
      try await onlyGoodTokens(api, routes)
      try await writesAreBounded(api, own)
    }
  }

  /// Ids of the other organisation and unknown ids get the same answer, byte for byte.
  private func othersAreNotThere(_ api: APIEnvironment, _ own: String) async throws {
    let action = try await api.environment.rows(
      "SELECT id FROM journey_actions WHERE client_id = '\(Self.clientB)' LIMIT 1")[
        0][0]
    let j = "/api/journey/"
    for (path, other) in [
      ("client/", Self.clientB), ("next-action/", Self.clientB), ("actions/", action),
      ("high-risk?organization=", Self.orgB),
      ("upsell?organization=", Self.orgB), ("clients?organization=", Self.orgB), ("actions?organization=", Self.orgB),
      ("stages?organization=", Self.orgB), ("stats?organization=", Self.orgB),
    ] {
      let foreign = try await api.get(j + path + other, own), missing = try await api.get(j + path + Self.unknown, own)
      #expect(
        foreign.status == 404 && missing.status == 404 && foreign.body == missing.body, "\(path): \(foreign.body)")
    }
    let filtered = try await api.get(j + "actions?clientId=\(Self.clientB)", own)
    #expect(filtered.status == 200 && (filtered.json["items"] as? [Any])?.isEmpty == true)
    let two = try await api.get(j + "high-risk", APIEnvironment.token(Self.both))
    #expect(two.body.contains(Self.clientA) && two.body.contains(Self.clientB))
    let narrowed = try await api.get(j + "high-risk?organization=\(Self.orgB)", APIEnvironment.token(Self.both))
    #expect(!narrowed.body.contains(Self.clientA) && narrowed.body.contains(Self.clientB))
  }

  private func onlyGoodTokens(_ api: APIEnvironment, _ routes: [Route]) async throws {
    let user = Self.memberA
    let bad: [(String, String?)] = [
      ("none", nil), ("expired", APIEnvironment.token(user, expires: -60)),
      ("another secret", APIEnvironment.token(user, secret: String(repeating: "x", count: 40))),
      ("alg none", APIEnvironment.token(user, algorithm: "none")),
      ("alg HS512", APIEnvironment.token(user, algorithm: "HS512")),
      ("alg RS256", APIEnvironment.token(user, algorithm: "RS256")),
      ("audience", APIEnvironment.token(user, audience: "other")),
      ("anonymous", APIEnvironment.token(user, role: "anon")), ("no user", APIEnvironment.token("' OR true --")),
    ]
    for route in routes {
      for (name, token) in bad {
        let answer = try await api.get(route.path, token)
        #expect(answer.status == 401, "\(name): \(route.path)")
        #expect(
          answer.headers["content-type"] == "application/problem+json" && answer.headers["www-authenticate"] != nil)
      }
    }
    for (path, method) in [
      ("/api/journey/event", "POST"), ("/api/operations/dead-letters/replay", "POST"), ("/api/journey/live", "GET"),
    ] {
      #expect(try await api.send(method, path, nil, body: method == "POST" ? "{}" : nil).status == 401)
    }
  }

  private func writesAreBounded(_ api: APIEnvironment, _ own: String) async throws {
    func body(_ client: String) -> String {
      #"{"clientId":"\#(client)","stage":"retention","eventType":"subscription_renewed"}"#
    }
    for client in [Self.clientB, Self.unknown] {
      #expect(try await api.send("POST", "/api/journey/event", own, body: body(client)).status == 404)
    }
    #expect(
      try await api.send("POST", "/api/journey/event", APIEnvironment.token(Self.nobody), body: body(Self.clientA))
        .status
        == 404)
    let before = try await api.environment.number("SELECT count(*) FROM client_journey_events")
    for _ in 0..<3 {
      let answer = try await api.send(
        "POST", "/api/journey/event", own, headers: ["Idempotency-Key": "k-1"], body: body(Self.clientA))
      #expect(answer.status == 202 && answer.json["eventId"] is String, "\(answer.body)")
    }
    try await api.environment.settles(events: before + 1, api.program)
    for path in ["replay", "discard"] {
      #expect(
        try await api.send("POST", "/api/operations/dead-letters/\(path)", own, body: #"{"all":true}"#).status == 403)
    }
  }

  @Test func withoutKeysNobodySignsIn() async throws {
    try await APIEnvironment.with(["API_JWT_SECRET": ""]) { (api: APIEnvironment) async throws in
      #expect(api.program.standardError.contains("nobody can sign in"))
      #expect(try await api.get("/health", nil).status == 200)
      #expect(try await api.get("/ready", nil).status == 200)
      #expect(try await api.get("/", nil).status == 200)
      #expect(try await api.get("/api/journey/me", APIEnvironment.token(Self.memberA)).status == 503)
    }
  }
}
