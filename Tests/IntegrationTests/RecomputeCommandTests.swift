import Foundation
import TestServers
import Testing

@testable import TestSupport

/// `journey recompute` while `journey serve` runs.
@Suite struct RecomputeCommandTests {
  private static let org = "5b0f1d3e-0000-4000-8000-00000000000d"
  private static let clients = 600

  private struct Answer: Decodable {
    var dryRun: Bool
    var complete: Bool
    var looked: Int
    var changed: Int
    var actions: Int
    var held: Int
    var after: String?
  }

  private func recompute(_ environment: TestEnvironment, _ arguments: String...) async throws -> Answer {
    let text = try await environment.succeed(
      ["recompute", "--config", Profile.defaultProfile.configuration, "--json"] + arguments)
    return try JSONDecoder().decode(Answer.self, from: Data(text.utf8))
  }

  /// Events that the states do not reflect, as an older version without triggers left them.
  private func correct(_ environment: TestEnvironment, to value: String) async throws {
    try await environment.execute(
      """
      ALTER TABLE client_journey_events DISABLE TRIGGER USER; UPDATE client_journey_events SET stage = '\(value)';
      ALTER TABLE client_journey_events ENABLE TRIGGER USER
      """)
  }

  @Test func itGoesOnWhereItWasInterrupted() async throws {
    try await TestEnvironment.with { environment in
      try await environment.execute(
        """
        INSERT INTO organizations (id, name) VALUES ('\(Self.org)', 'Acme');
        INSERT INTO contacts (id, org_id, name) SELECT gen_random_uuid(), '\(Self.org)', 'A' FROM generate_series(1, \(Self.clients));
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type) SELECT id, org_id, 'onboarding', 'called' FROM contacts
        """)
      let program = try await environment.serve(.defaultProfile)
      let stale = "SELECT count(*) FROM journey_client_state WHERE stage IS DISTINCT FROM "
      try await eventually("all evaluated", within: .seconds(60)) {
        try await environment.number(stale + "'onboarding'") == 0
      }
      try await correct(environment, to: "active_project")
      let actions = try await environment.number("SELECT count(*) FROM journey_actions")

      let dry = try await recompute(environment, "--dry-run")
      #expect(dry.dryRun && dry.complete && dry.looked == Self.clients && dry.changed == Self.clients)
      #expect(try await environment.number(stale + "'onboarding'") == 0)

      let child = try environment.start([
        "recompute", "--config", Profile.defaultProfile.configuration, "--batch", "1", "--org", Self.org,
      ])
      try await eventually("some are changed") { try await environment.number(stale + "'onboarding'") > 20 }
      child.send(SIGINT)
      #expect(await child.ended(within: .seconds(20)) == .exited(1))
      let words = child.standardError.split(whereSeparator: \.isWhitespace)
      let after = try #require(words.firstIndex(of: "--after").map { String(words[$0 + 1]) }, "\(child.standardError)")
      let left = try await environment.number(stale + "'active_project'")
      #expect(left > 0 && left < Self.clients)

      let rest = try await recompute(environment, "--org", Self.org, "--after", after)
      #expect(rest.complete && rest.changed == left && rest.looked == left)
      #expect(try await environment.number(stale + "'active_project'") == 0)
      #expect(try await recompute(environment).changed == 0)
      #expect(
        try await environment.number("SELECT count(*) FROM journey_actions") == actions, "nothing was to be published")

      // With `--publish`, serve publishes the actions.
      try await correct(environment, to: "churn_risk")
      let client = try await environment.rows("SELECT id FROM contacts LIMIT 1")[0][0]
      #expect(try await recompute(environment, "--client", client, "--publish").actions == 1)
      try await eventually("the action is published", within: .seconds(60)) {
        try await environment.number(
          "SELECT count(*) FROM journey_actions WHERE published_at IS NOT NULL AND action LIKE 'concierge%' AND client_id = '\(client)'"
        ) == 1
      }
      try await environment.stop(program)
    }
  }

  @Test func whatIsNotThereIsNamed() async throws {
    try await TestEnvironment.with { environment in
      let nobody = try await environment.run(["recompute", "--client", "5b0f1d3e-0000-4000-8000-0000000000ff"])
      #expect(nobody.status == 65)
      #expect(try await environment.run(["recompute", "--org", "acme"]).status == 65)
    }
  }
}
