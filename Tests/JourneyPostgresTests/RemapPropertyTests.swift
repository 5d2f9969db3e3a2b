import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import Testing

@testable import TestSupport

/// After a remap everything is as if the right rules had been there from the start.
@Suite struct RemapPropertyTests {
  private static let types = ["a", "b", "c", "d", "e"]
  private static let outcomes: [(type: String, stage: String)] = [
    ("invoice_overdue", "billing"), ("invoice_paid", "keep"), ("payment_failed", "churn_risk"), ("note_added", "keep"),
    ("ticket_opened", "keep"), ("milestone_completed", "active_project"), ("milestone_delayed", "keep"),
    ("deal_won", "onboarding"), ("usage_high", "upsell_candidate"), ("usage_low", "keep"),
    ("logged_in", "retention"),
  ]

  private static func rules(_ random: inout SeededRandom) -> String {
    types.map { type in
      if random.chance(20) { return "  - {name: \(type), when: {type: \(type)}, ignore: noise}" }
      let outcome = outcomes.randomElement(using: &random)!
      let client = random.chance(75) ? "$.client" : "$.owner"
      let time = random.chance(75) ? "$.at" : "$.created"
      let id = random.chance(80) ? "[$.id]" : "[{join: [$.type, $.id]}]"
      let metadata = random.chance(70) ? "$" : "{invoiceId: $.owner}"
      let stage =
        random.chance(20)
        ? "{at-least: \(["onboarding", "billing", "retention"].randomElement(using: &random)!)}" : outcome.stage
      let actor = random.chance(30) ? ", by: \(["client", "us", "system"].randomElement(using: &random)!)" : ""
      return """
          - name: \(type)
            when: {type: \(type)}
            event: {type: \(outcome.type), stage: \(stage)\(actor), id: \(id), client: {from: [\(client)]}, create: {name: \(client)}, \
        time: [{path: \(time), unit: s}], metadata: \(metadata)}
        """
    }.joined(separator: "\n")
  }

  private static func history(_ count: Int, _ random: inout SeededRandom) -> [String] {
    var bodies: [String] = []
    var days = Array(0..<count).shuffled(using: &random)
    days.sort { $0 / 8 < $1 / 8 }
    for index in 0..<count {
      if !bodies.isEmpty, random.chance(10) {
        bodies.append(bodies.randomElement(using: &random)!)
        continue
      }
      let at = 1_763_000_000 + days[index] * 20_000
      let (type, client) = (types.randomElement(using: &random)!, Int.random(in: 1...4, using: &random))
      let owner = Int.random(in: 1...4, using: &random)
      bodies.append(
        #"{"type":"\#(type)","id":"\#(index)","client":"c\#(client)","owner":"c\#(owner)","at":\#(at),"created":\#(at - 777),"#
          + #""invoiceId":"i\#(index % 9)","usage":\#(index % 100)}"#)
    }
    return bodies
  }

  private static func events(_ org: UUID) -> String {
    """
    SELECT c.name, e.source_event_id, e.event_type, e.sets_stage, CASE WHEN e.sets_stage THEN e.stage END, e.min_stage, e.acted_by, e.occurred_at,
      e.metadata FROM client_journey_events e JOIN contacts c ON c.id = e.client_id
    WHERE e.org_id = '\(org)' AND e.voided_at IS NULL ORDER BY 2, 1
    """
  }

  private static func states(_ org: UUID) -> String {
    """
    SELECT c.name, encode(s.summary, 'hex'), s.stage, s.stage_at, s.score, s.risk_level, array_to_string(s.risks, ','), s.last_event_at,
      (SELECT string_agg(concat_ws('/', v.invoice_id, v.overdue_at, v.settled_at), ' ' ORDER BY v.invoice_id) FROM journey_invoices v
        WHERE v.client_id = s.client_id)
    FROM journey_client_state s JOIN contacts c ON c.id = s.client_id
    WHERE s.org_id = '\(org)' AND s.last_event_at IS NOT NULL ORDER BY 1
    """
  }

  @Test(arguments: 1...12) func aRemapGivesWhatTheRightRulesWouldHaveGiven(stream: UInt64) async throws {
    var random = SeededRandom(stream: stream)
    let wrong = Self.rules(&random), right = Self.rules(&random)
    let history = Self.history(50, &random)
    let batch = [1, 3, 20].randomElement(using: &random)!
    try await withRemapSources([(wrong, 0), (right, 1)]) { sources, other in
      let (remapped, reference) = (sources[0], sources[1])
      try await remapped.send(history, batch: batch)
      try await reference.send(history, batch: batch)
      let published = try await other.rows("SELECT count(*) FROM journey_outbox")
      try remapped.correct(right)
      let rehearsal = try await remapped.remap { $0.isRehearsal = true }
      let done = try await remapped.remap { $0.limit = [1, 7, 200].randomElement()! }
      #expect(done.isComplete && done.failed.isEmpty && rehearsal.isComplete)
      #expect(try await remapped.remap().counts.different == 0, "JOURNEY_TEST_SEED=\(SeededRandom.seed)")
      for source in sources {
        var recompute = Recompute()
        recompute.orgID = source.org
        _ = try await recompute.run(on: source.store)
      }
      let seed: Comment = "JOURNEY_TEST_SEED=\(SeededRandom.seed)\n\(wrong)\n\(right)"
      #expect(
        try await other.rows(Self.events(remapped.org))
          == other.rows(Self.events(reference.org)), seed)
      #expect(try await other.rows(Self.states(remapped.org)) == other.rows(Self.states(reference.org)), seed)
      #expect(try await other.rows("SELECT count(*) FROM journey_outbox") == published, seed)
      let again = try await remapped.send(history, redelivered: true)
      #expect(again["stored"] == nil, seed)
    }
  }
}
