import Foundation
import TestServers
import Testing

@testable import TestSupport

/// `journey simulate`, and `journey explain` of now and of an earlier time.
@Suite struct SimulateCommandTests {
  private static let org = "5b0f1d3e-0000-4000-8000-00000000000e"
  /// Two tickets are many by the changed rules.
  private static let changes = "5b0f1d3e-0000-4000-8000-000000000001"
  private static let same = "5b0f1d3e-0000-4000-8000-000000000002"
  private static let configuration = Profile.defaultProfile.configuration

  private struct Answer: Decodable {
    struct Action: Decodable, Equatable {
      var action: String
      var current: Int
      var changed: Int
    }
    struct Listed: Decodable {
      struct Side: Decodable {
        var action: String?
        var risks: [Risk]?
        struct Risk: Decodable { var risk: String }
      }
      var clientId: String
      var at: String
      var current: Side
      var changed: Side
      var because: [String]
    }
    var currentVersion: String
    var changedVersion: String
    var clients: Int
    var events: Int
    var actions: [Action]
    var different: Int
    var listed: [Listed]
  }

  private func plant(_ environment: TestEnvironment) async throws {
    func event(_ client: String, _ type: String, _ ago: String, stage: String? = nil) -> String {
      "('\(client)', '\(Self.org)', '\(stage ?? "retention")', '\(type)', now() - interval '\(ago)', \(stage != nil))"
    }
    var events = [
      event(Self.changes, "ticket_opened", "3 days"), event(Self.changes, "ticket_opened", "2 days"),
      event(Self.same, "ticket_opened", "2 days"),
    ]
    for client in [Self.changes, Self.same] {
      events.append(event(client, "subscription_renewed", "50 days", stage: "retention"))
      events += (6...8).map { event(client, "logged_in", "\($0) days") }
    }
    try await environment.execute(
      """
      INSERT INTO organizations (id, name) VALUES ('\(Self.org)', 'Acme');
      INSERT INTO contacts (id, org_id, name) VALUES ('\(Self.changes)', '\(Self.org)', 'Ada'), ('\(Self.same)', '\(Self.org)', 'Bea');
      INSERT INTO client_journey_events (client_id, org_id, stage, event_type, occurred_at, sets_stage)
      VALUES \(events.joined(separator: ", "));
      -- Paid before the notice: no risk for rules that read the invoice's id.
      INSERT INTO client_journey_events (client_id, org_id, stage, event_type, occurred_at, sets_stage, metadata)
      SELECT '\(Self.same)', '\(Self.org)', 'retention', e.type, now() - e.days * interval '1 day', false, '{"invoiceId": 7, "more": [1]}'
      FROM (VALUES ('invoice_paid', 5), ('invoice_overdue', 4)) e(type, days)
      """)
  }

  private func stored(_ environment: TestEnvironment) async throws -> [[String]] {
    let tables = [
      "client_journey_events", "client_journey_scores", "journey_client_state", "journey_invoices", "journey_outbox",
      "journey_actions", "journey_expectations",
    ]
    return try await environment.rows(
      tables.map { "SELECT '\($0)', count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM \($0) t" }
        .joined(separator: " UNION ALL ") + " ORDER BY 1")
  }

  /// Changed rules in a file; `body` gets its path.
  private func withRules(_ changes: [(String, String)], _ body: (String) async throws -> Void) async throws {
    var text = try String(contentsOfFile: Self.configuration + "/decisions.yaml", encoding: .utf8)
    for (old, new) in [("version: default-1", "version: default-2")] + changes {
      try #require(text.contains(old))
      text = text.replacingOccurrences(of: old, with: new)
    }
    try await withTemporaryDirectory { directory in
      let file = directory + "/new.yaml"
      try text.write(toFile: file, atomically: true, encoding: .utf8)
      try await body(file)
    }
  }

  @Test func itSaysWhoChangesAndWhyAndWritesNothing() async throws {
    try await TestEnvironment.with { environment in
      try await plant(environment)
      try await environment.succeed(["recompute", "--config", Self.configuration])
      let before = try await stored(environment)
      let tickets = [("high_support_tickets: { atLeast: 3", "high_support_tickets: { atLeast: 2")]
      try await withRules(tickets) { file in
        let simulate = ["simulate", "--config", file, "--settings", Self.configuration]
        let text = try await environment.succeed(simulate + ["--json"])
        let answer = try JSONDecoder().decode(Answer.self, from: Data(text.utf8))
        #expect(answer.currentVersion == "default-1" && answer.changedVersion == "default-2")
        #expect(answer.clients == 2 && answer.events == 11 && answer.different == 1)
        let concierge = Answer.Action(action: "concierge_personal_intervention", current: 0, changed: 1)
        #expect(!answer.actions.contains { $0.action == "email_outreach" })
        #expect(answer.actions.filter { $0.current != $0.changed } == [concierge])
        let listed = try #require(answer.listed.first)
        #expect(listed.clientId == Self.changes && listed.current.action == nil)
        #expect(listed.changed.action == concierge.action)
        #expect(listed.changed.risks?.map(\.risk) == ["high_support_tickets"])
        #expect(listed.because.first?.hasPrefix("only the changed rules find high_support_tickets: 2 tickets") == true)

        let shown = try await environment.succeed(simulate + ["--org", Self.org])
        #expect(shown.contains("1 client with other actions") && shown.contains("Ada  \(Self.changes)"), "\(shown)")
        #expect(shown.contains("because only the changed rules find high_support_tickets"), "\(shown)")
        // Before the tickets there was nothing, and in another organisation there is nobody.
        let early = try await environment.succeed(simulate + ["--since", "1d", "--json"])
        #expect(try JSONDecoder().decode(Answer.self, from: Data(early.utf8)).events == 0)
        let other = try await environment.succeed(simulate + ["--org", Self.same, "--json"])
        #expect(try JSONDecoder().decode(Answer.self, from: Data(other.utf8)).clients == 0)

        for wrong in ["soon", "2999-01-01"] {
          let refused = try await environment.run(simulate + ["--since", wrong])
          #expect(refused.status == 65 && refused.errors.contains("--since \(wrong)"), "\(refused)")
        }
      }
      try await withRules([("atLeast: 3, within: 30d", "atLeast: many, within: 30d")]) { file in
        let refused = try await environment.run(["simulate", "--config", file, "--settings", Self.configuration])
        #expect(refused.status == 78 && refused.errors.contains("high_support_tickets"), "\(refused)")
      }
      #expect(try await stored(environment) == before)
    }
  }

  private struct Explained: Decodable {
    struct Decision: Decodable {
      var generatedAt: String
      var riskLevel: String
    }
    struct Candidate: Decodable {
      var action: String
      var verdict: String
      var blockedBy: String?
      var opensAt: String?
    }
    struct Changes: Decodable {
      struct Change: Decodable {
        struct Fact: Decodable {
          var fact: String
          var text: String
        }
        struct Outcome: Decodable {
          var winner: String?
          var riskLevel: String
        }
        var facts: [Fact]
        var from: Outcome
        var to: Outcome
      }
      var winner: [Change]
      var level: [Change]
    }
    struct Event: Decodable { var type: String }
    var stage: String?
    var at: String?
    var decision: Decision?
    var oldestDecisionAt: String?
    var candidates: [Candidate]
    var changes: Changes?
    var eventCount: Int
    var events: [Event]
  }

  private func explain(_ environment: TestEnvironment, _ arguments: String...) async throws -> Explained {
    let text = try await environment.succeed(
      ["explain", Self.changes, "--config", Self.configuration, "--json"] + arguments)
    return try JSONDecoder().decode(Explained.self, from: Data(text.utf8))
  }

  @Test func anEarlierDecisionIsExplainedAsItWas() async throws {
    try await TestEnvironment.with { environment in
      try await plant(environment)
      try await environment.execute("UPDATE client_journey_events SET ingested_at = occurred_at")
      try await environment.succeed(["recompute", "--config", Self.configuration])
      let then = try await environment.rows(
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")[0][0]
      try await environment.execute(
        """
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type)
        VALUES ('\(Self.changes)', '\(Self.org)', 'churn_risk', 'cancel_requested')
        """)
      try await environment.succeed(["recompute", "--config", Self.configuration])

      let past = try await explain(environment, "--at", then)
      #expect(past.at == then && past.stage == "retention" && past.eventCount == 6)
      #expect(past.decision?.riskLevel == "LOW" && past.candidates.isEmpty && past.changes == nil)
      #expect(!past.events.contains { $0.type == "cancel_requested" })
      let latest = try await explain(environment, "--at", "0s")
      #expect(latest.stage == "churn_risk" && latest.eventCount == 7)
      #expect(latest.candidates.map(\.verdict) == ["withheld"] && latest.candidates[0].blockedBy != nil)

      let now = try await explain(environment)
      #expect(now.stage == "churn_risk" && now.decision == nil)
      #expect(now.candidates.map(\.verdict) == ["chosen"] && now.candidates[0].blockedBy == nil)
      let change = try #require(now.changes?.winner.first)
      #expect(change.facts.count == 1 && change.from.winner == "concierge_personal_intervention")
      #expect(change.to.winner != change.from.winner)
      let level = try #require(now.changes?.level.first)
      #expect(level.from.riskLevel == "LOW" && level.to.riskLevel != "LOW")

      let never = try await explain(environment, "--at", "2020-01-01")
      #expect(never.decision == nil && never.oldestDecisionAt == past.decision?.generatedAt && never.eventCount == 0)
      let words = try await environment.succeed(
        ["explain", Self.changes, "--config", Self.configuration, "--at", "2020-01-01"])
      #expect(words.contains("no decision is that old: the oldest that is stored is of "), "\(words)")
      let shown = try await environment.succeed(
        ["explain", Self.changes, "--config", Self.configuration, "--at", then])
      #expect(shown.contains("risk level LOW, stage retention, decided at ") && shown.contains("rules default-1"))
      let refused = try await environment.run(["explain", Self.changes, "--at", "yesterday"])
      #expect(refused.status == 65 && refused.errors.contains("--at yesterday"), "\(refused)")
    }
  }
}
