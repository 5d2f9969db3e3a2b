import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestSupport
import Testing

/// A remap of events that name several ids, of which the known one counts, or only a group.
@Suite struct RemapReferenceTests {
  private static let events = """
    SELECT e.source_event_id, c.name, e.event_type, CASE WHEN e.sets_stage THEN e.stage END FROM client_journey_events e
    JOIN contacts c ON c.id = e.client_id
    WHERE e.voided_at IS NULL AND e.event_type <> 'customer_created' ORDER BY 1
    """
  private static let person =
    "  - {name: person, when: {type: person}, event: {type: customer_created, stage: keep, create: {name: $.client}}}\n"

  private static func choice(_ stage: String, _ view: String) -> String {
    let client = "client: {from: [$.client, $.owner], known: true}"
    return person + """
        - {name: deal, when: {type: deal}, event: {type: deal_won, stage: \(stage), \(client)}}
        - {name: view, when: {type: view}, \(view)}
      """
  }

  @Test func aStoredEventStaysWithTheClientThatWasKnown() async throws {
    let client = "client: {from: [$.client, $.owner], known: true}"
    try await withRemapSources([(Self.choice("retention", "ignore: noise"), 0)]) { sources, other in
      let source = sources[0]
      try await source.send([RemapTests.body("person", "1", 1, client: "o1")])
      #expect(
        try await source.send([RemapTests.body("deal", "2", 2), RemapTests.body("view", "3", 3)])
          == ["stored": 1, "ignored": 1])
      try await source.send([RemapTests.body("person", "4", 4, client: "c1")])
      #expect(try await other.rows(Self.events) == ["2|o1|deal_won|retention"])

      try source.correct(Self.choice("onboarding", "event: {type: feature_used, stage: keep, \(client)}"))
      let done = try await source.remap()
      #expect(done.isComplete && done.counts.changed == 1 && done.counts.fields == [.stage: 1])
      #expect(done.counts.new == 1 && done.counts.unresolved == 0)
      // What was never stored is for the first id that is known now.
      let right = ["2|o1|deal_won|onboarding", "3|c1|feature_used|"]
      #expect(try await other.rows(Self.events) == right)
      #expect(try await source.remap().counts.different == 0)

      // Where neither id means the stored event's client, it moves to the one that is known.
      try source.correct(
        Self.choice("onboarding", "ignore: noise").replacing("[$.client, $.owner]", with: "[$.invoiceId, $.client]"))
      let moved = try await source.remap()
      #expect(moved.counts.fields == [.client: 1] && moved.counts.gone == 1)
      #expect(try await other.rows(Self.events) == ["2|c1|deal_won|onboarding"])
      #expect(try await source.remap().counts.different == 0)
    }
  }

  private static func group(_ stage: String, _ group: String = "$.owner") -> String {
    """
      - {name: join, when: {type: person}, event: {type: customer_created, stage: keep, group: $.owner, create: {name: $.client}}}
      - {name: bill, when: {type: bill}, event: {type: invoice_overdue, stage: \(stage), client: $.none, group: \(group)}}
    """
  }

  @Test func anEventOfAGroupStaysWithAMember() async throws {
    try await withRemapSources([(Self.group("billing"), 0)]) { sources, other in
      let source = sources[0]
      try await source.send([RemapTests.body("person", "1", 1, client: "c1", owner: "g1")])
      try await source.send([
        RemapTests.body("bill", "2", 2, owner: "g1"), RemapTests.body("bill", "3", 3, owner: "g2"),
      ])
      #expect(try await other.rows(Self.events) == ["2|c1|invoice_overdue|billing"])
      // Of two members nobody would get it now.
      try await source.send([RemapTests.body("person", "4", 4, client: "c2", owner: "g1")])

      try source.correct(Self.group("churn_risk"))
      let done = try await source.remap()
      #expect(done.isComplete && done.counts.fields == [.stage: 1] && done.counts.unresolved == 1)
      #expect(try await other.rows(Self.events) == ["2|c1|invoice_overdue|churn_risk"])
      #expect(try await source.remap().counts.different == 0)

      // The member of another group does not keep it.
      try await source.send([RemapTests.body("person", "5", 5, client: "c3", owner: "i2")])
      try source.correct(Self.group("churn_risk", "$.invoiceId"))
      #expect(try await source.remap().counts.fields == [.client: 1])
      #expect(try await other.rows(Self.events) == ["2|c3|invoice_overdue|churn_risk"])
    }
  }
}
