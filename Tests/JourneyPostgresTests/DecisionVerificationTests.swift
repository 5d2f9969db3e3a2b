import FoundationEssentials
import Journey
import PostgresClient
import TestServers
import Testing

@testable import JourneyPostgres
@testable import TestSupport

/// What the store records of its decisions is enough to make them again.
@Suite(.timeLimit(.minutes(5))) struct DecisionVerificationTests: CommitTesting {
  @Test func storedDecisionsComeOutAsRecorded() async throws {
    var rules = DecisionRules()
    rules.version = "v1"
    rules.recordsInputs = true
    rules.actions.life = LifeRules()
    rules.actions.contact = ContactPolicy()
    try await withStores(at: [.seconds(0), .days(40)], rules: rules) { stores, other in
      for number in 0..<20 {
        _ = try await stores[0].commitAll([
          moved("a\(number)", to: Stage.allCases[number % Stage.allCases.count]),
          moved("b\(number)", to: .lead, of: 1),
        ])
      }
      // As time passes, too.
      let due = try await stores[1].evaluateDue(limit: 10, passingOver: PassedOver())
      #expect(!due.evaluated.isEmpty)
      let stored = try await other.rows("SELECT count(inputs), count(*) FROM client_journey_scores")
      #expect(stored == ["42|42"])
      var verification = DecisionVerification(rules: rules)
      verification.limit = 7
      let progress = try await verification.run(on: other)
      #expect(progress.same == 42 && progress.verified == 42 && progress.isComplete, "\(progress)")
      verification.rules.version = "v2"
      let others = try await verification.run(on: other)
      #expect(others.otherRules == ["v1": 42] && others.same == 0)
      verification.rules.version = "v1"
      verification.since = SystemClock().now() + .days(1)
      #expect(try await verification.run(on: other).verified == due.evaluated.count, "since then")
      // Somebody has changed a record.
      try await other.run(
        """
        UPDATE client_journey_scores SET explanation = replace(explanation::text, '"probability":1', '"probability":0')::json
        WHERE id = (SELECT min(id::text)::uuid FROM client_journey_scores)
        """)
      verification.since = nil
      let changed = try await verification.run(on: other)
      #expect(changed.same == 41 && changed.differences.map(\.members) == [["probability"]])
    }
  }

  @Test func nothingIsRecordedUnlessItIsAskedFor() async throws {
    try await withStores { stores, other in
      _ = try await stores[0].commitAll([moved("1", to: .lead)])
      #expect(try await other.rows("SELECT count(inputs), count(*) FROM client_journey_scores") == ["0|1"])
    }
  }
}
