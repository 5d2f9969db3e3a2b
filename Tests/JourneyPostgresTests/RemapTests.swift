import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestSupport
import Testing

/// Stored events after a mapping was corrected, voided and restored events.
@Suite struct RemapTests {
  static let wrong = """
      - {name: deal, when: {type: deal}, event: {type: deal_won, stage: retention, client: {from: [$.owner]}, create: {name: $.owner}}}
      - {name: note, when: {type: note}, event: {type: note_added, stage: keep, create: {name: $.client}}}
      - {name: view, when: {type: view}, event: {type: feature_used, stage: upsell_candidate, create: {name: $.client}}}
      - {name: bill, when: {type: bill}, ignore: not used}
    """
  static let right = """
      - {name: deal, when: {type: deal}, event: {type: deal_won, stage: onboarding, create: {name: $.client}}}
      - {name: note, when: {type: note}, event: {type: note_added, stage: keep, create: {name: $.client}}}
      - {name: view, when: {type: view}, ignore: noise}
      - {name: bill, when: {type: bill}, event: {type: invoice_overdue, stage: billing, create: {name: $.client}}}
    """

  static func body(_ type: String, _ id: String, _ day: Int, client: String = "c1", owner: String = "o1") -> String {
    let at = 1_763_000_000 + day * 86_400
    return
      #"{"type":"\#(type)","id":"\#(id)","client":"\#(client)","owner":"\#(owner)","at":\#(at),"invoiceId":"i\#(id)"}"#
  }

  private static let history = [
    body("note", "1", 1), body("deal", "2", 2), body("view", "3", 3), body("bill", "4", 4), body("note", "5", 5),
  ]

  private static let events = """
    SELECT c.name, e.source_event_id, e.event_type, e.stage, e.sets_stage, e.voided_at IS NOT NULL
    FROM client_journey_events e JOIN contacts c ON c.id = e.client_id ORDER BY e.source_event_id
    """
  private static let corrected = [
    "c1|1|note_added|lead|f|f", "c1|2|deal_won|onboarding|t|f", "c1|3|feature_used|upsell_candidate|t|t",
    "c1|4|invoice_overdue|billing|t|f", "c1|5|note_added|billing|f|f",
  ]

  @Test func eventsBecomeWhatTheRulesOfNowMakeOfTheirMessages() async throws {
    try await withRemapSources([(Self.wrong, 0)]) { sources, other in
      let source = sources[0]
      #expect(try await source.send(Self.history) == ["stored": 4, "ignored": 1])
      let before = try await other.rows(Self.events)
      let outbox = try await other.rows("SELECT count(*) FROM journey_outbox")
      try source.correct(Self.right)

      let rehearsal = try await source.remap { $0.isRehearsal = true }
      #expect(rehearsal.isComplete)
      for counts in [rehearsal.counts] {
        #expect(counts.messages == 5 && counts.unchanged == 2)
        #expect(counts.changed == 1 && counts.fields == [.stage: 1, .client: 1])
        #expect(counts.new == 1 && counts.gone == 1 && counts.rejected.isEmpty)
      }
      #expect(rehearsal.differences.map(\.kind.rawValue).sorted() == ["changed", "gone", "new"])
      #expect(try await other.rows(Self.events) == before)

      let done = try await source.remap()
      #expect(done.counts.different == 3 && done.counts.actions == 0 && done.counts.clients == 2)
      #expect(try await other.rows(Self.events) == Self.corrected)
      #expect(
        try await other.rows(
          "SELECT c.name, s.stage FROM journey_client_state s JOIN contacts c ON c.id = s.client_id ORDER BY 1")
          == ["c1|billing", "o1|"])
      #expect(try await other.rows("SELECT invoice_id FROM journey_invoices") == ["i4"])
      #expect(try await other.rows("SELECT count(*) FROM journey_outbox") == outbox, "nothing was to be published")
      let audit = """
        SELECT action, actor, why, source, cardinality(event_ids), counts->>'gone', (SELECT count(*) FROM journey_event_versions)
        FROM journey_event_changes
        """
      #expect(try await other.rows(audit).sorted().last == "remap|ann|a wrong rule|crm|2|1|1")

      // Nothing is left to do; what is delivered again, in whatever way, is known.
      #expect(try await source.remap().counts.different == 0)
      #expect(try await source.send(Self.history) == ["duplicate": 4, "ignored": 1])
      #expect(try await source.remap().counts.different == 0)
      #expect(try await other.rows(Self.events) == Self.corrected)

      // By the old rules all is as it was.
      try source.correct(Self.wrong)
      _ = try await source.remap()
      #expect(
        try await other.rows("\(Self.events)").filter { $0.hasSuffix("|f") } == before.filter { $0.hasSuffix("|f") })
    }
  }

  @Test func anotherOrganizationIsLeftAlone() async throws {
    try await withRemapSources([(Self.wrong, 0), (Self.wrong, 1)]) { sources, other in
      for source in sources { try await source.send(Self.history) }
      let rows = """
        SELECT e.id, e.client_id, e.stage, e.event_type, e.voided_at, s.summary, s.updated_at FROM client_journey_events e
        JOIN journey_client_state s USING (client_id) WHERE e.org_id = '\(sources[1].org)' ORDER BY 1
        """
      let before = try await other.rows(rows)
      try sources[0].correct(Self.right)
      #expect(try await sources[0].remap().counts.different == 3)
      #expect(try await other.rows(rows) == before)
    }
  }

  @Test func onlyTheMessagesOfAClientAreMapped() async throws {
    try await withRemapSources([(Self.wrong, 0)]) { sources, other in
      try await sources[0].send(Self.history + [Self.body("deal", "9", 1, client: "c9", owner: "o9")])
      try sources[0].correct(Self.right)
      let client = try #require(UUID(uuidString: try await other.rows("SELECT id FROM contacts WHERE name = 'o9'")[0]))
      let done = try await sources[0].remap { $0.clientID = client }
      #expect(done.counts.messages == 1 && done.counts.changed == 1)
      #expect(
        try await other.rows(
          "SELECT c.name FROM client_journey_events e JOIN contacts c ON c.id = e.client_id WHERE source_event_id = '9'"
        )
          == ["c9"])
      #expect(try await other.rows("SELECT count(*) FROM client_journey_events WHERE voided_at IS NOT NULL") == ["0"])
    }
  }

  @Test func actionsFollowWhereTheyAreAskedFor() async throws {
    try await withRemapSources([(Self.wrong, 0)]) { sources, other in
      try await sources[0].send([Self.body("note", "1", 1)])
      let published = try await other.rows("SELECT count(*) FROM journey_outbox").compactMap { Int($0) }[0]
      try sources[0].correct("  - {name: note, when: {type: note}, event: {type: note_added, stage: churn_risk}}")
      #expect(try await sources[0].remap { $0.publishes = true }.counts.actions == 1)
      #expect(try await other.rows("SELECT count(*) FROM journey_outbox") == ["\(published + 1)"])
    }
  }

  @Test func whatTheRulesRejectStaysAsItIs() async throws {
    try await withRemapSources([(Self.wrong, 0)]) { sources, other in
      try await sources[0].send(Self.history)
      let before = try await other.rows(Self.events)
      try sources[0].correct(
        "  - {name: all, when: {type: [note, deal, view, bill]}, event: {type: note_added, stage: keep, client: {from: [$.nothing]}}}"
      )
      let done = try await sources[0].remap()
      #expect(done.counts.different == 0 && done.counts.rejected.values.reduce(0, +) == 5)
      #expect(try await other.rows(Self.events) == before)
    }
  }

  @Test func aRemapThatWasCutOffIsRepeated() async throws {
    try await withRemapSources([(Self.wrong, 0)]) { sources, other in
      try await sources[0].send(Self.history, batch: 2)
      try sources[0].correct(Self.right)
      try await other.run(
        """
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '57P03'; END $$;
        CREATE TRIGGER fail BEFORE UPDATE ON client_journey_events FOR EACH ROW WHEN (NEW.voided_at IS NOT NULL) EXECUTE FUNCTION fail()
        """)
      await #expect(throws: EventRemap.Stopped.self) { try await sources[0].remap { $0.limit = 1 } }
      #expect(try await other.rows("SELECT count(*) FROM journey_event_changes") == ["2"])
      try await other.run("DROP TRIGGER fail ON client_journey_events")
      #expect(try await sources[0].remap().counts.different == 1)
      #expect(try await other.rows(Self.events) == Self.corrected)
    }
  }

  @Test func whatIsLockedIsComeBackTo() async throws {
    try await withRemapSources([(Self.wrong, 0)]) { sources, other in
      try await sources[0].send(Self.history)
      try sources[0].correct(Self.right)
      try await RemapLocks().withOpenTransaction("SELECT FROM contacts WHERE name = 'o1' FOR UPDATE", on: other) {
        let progress = try await sources[0].remap { $0.rounds = 0 }
        #expect(progress.held == 1 && !progress.isComplete && progress.counts.different == 2)
      }
      let rest = try await sources[0].remap()
      #expect(rest.isComplete && rest.counts.changed == 1)
      #expect(try await other.rows(Self.events) == Self.corrected)
    }
  }

  @Test func voidedEventsCountNoMoreUntilTheyAreRestored() async throws {
    try await withRemapSources([(Self.right, 0)]) { sources, other in
      let source = sources[0]
      try await source.send(Self.history)
      let states =
        "SELECT stage, risk_level, array_to_string(risks, ','), encode(summary, 'hex') FROM journey_client_state"
      let before = try await other.rows(states), events = try await other.rows(Self.events)
      let voided = try await source.void { $0.selection.type = "invoice_overdue" }
      #expect(voided.events == 1 && voided.clients == 1 && voided.isComplete && voided.actions == 0)
      #expect(try await other.rows("SELECT stage FROM journey_client_state") == ["onboarding"])
      #expect(try await other.rows("SELECT count(*) FROM journey_invoices") == ["0"])
      #expect(try await other.rows(Self.events).last == "c1|5|note_added|onboarding|f|f")

      // It stays a duplicate, and void, whatever the rules make of its message.
      #expect(try await source.send(Self.history, redelivered: true) == ["duplicate": 4, "ignored": 1])
      let remapped = try await source.remap()
      #expect(remapped.counts.different == 0 && remapped.counts.voided == 1)
      // No sweep takes it up again.
      #expect(
        try await other.rows(
          "SELECT count(*) FROM journey_client_state WHERE summary = '' OR check_at IS DISTINCT FROM due_at") == ["0"])
      #expect(try await source.void { $0.selection.type = "invoice_overdue" }.events == 0)

      let restored = try await source.void(restores: true) { $0.selection.ids = ["4"] }
      #expect(restored.events == 1 && restored.clients == 1)
      #expect(try await other.rows(states) == before)
      #expect(try await other.rows(Self.events) == events)
      #expect(
        try await other.rows("SELECT action, why, counts::text FROM journey_event_changes ORDER BY id") == [
          #"void|test data|{"voided": 1}"#, #"restore|test data|{"restored": 1}"#,
        ])
    }
  }

  /// An event that names a merged client goes with it when the two are split.
  @Test func eventsOfMergedClientsSayOfWhich() async throws {
    let one = "  - {name: note, when: {type: note}, event: {type: note_added, stage: keep, create: {name: $.client}}}"
    let other =
      "  - {name: note, when: {type: note}, event: {type: note_added, stage: keep, client: {from: [$.owner]}, create: {name: $.owner}}}"
    let origins = """
      SELECT c.name, o.name FROM client_journey_events e JOIN contacts c ON c.id = e.client_id
      LEFT JOIN contacts o ON o.id = e.origin_id WHERE e.source_event_id = '1'
      """
    try await withRemapSources([(one, 0)]) { sources, worker in
      try await sources[0].send([Self.body("note", "1", 1), Self.body("note", "2", 2, client: "o1")])
      let id = "SELECT id FROM contacts WHERE name ="
      try await worker.run("SELECT journey_merge_clients('\(sources[0].org)', (\(id) 'o1'), (\(id) 'c1'))")
      #expect(try await worker.rows(origins) == ["c1|"])
      try sources[0].correct(other)
      let required = "SELECT pg_get_functiondef('journey_require_origins(uuid[], uuid[])'::regprocedure)"
      let definition = try #require(try await worker.rows(required).first)
      try await worker.run(
        definition.replacing(
          "BEGIN", with: "BEGIN IF cardinality(p_origins) > 0 THEN RAISE 'split' USING ERRCODE = '40001'; END IF;",
          maxReplacements: 1))
      let held = try await sources[0].remap { $0.pause = .milliseconds(1) }
      #expect(held.held > 0 && !held.isComplete)
      #expect(try await worker.rows(origins) == ["c1|"])
      try await worker.run(definition)
      let done = try await sources[0].remap()
      #expect(done.counts.fields[.client] == 1)
      #expect(try await worker.rows(origins) == ["c1|o1"])
      #expect(try await sources[0].remap().counts.different == 0)
    }
  }

  /// Messages that a wrong rule took for one event, and those that it took for two.
  @Test func keysThatWereWrongAreCorrected() async throws {
    let one =
      "  - {name: note, when: {type: note}, event: {type: note_added, stage: keep, id: [$.client], create: {name: $.client}}}"
    let two = "  - {name: note, when: {type: note}, event: {type: note_added, stage: keep, create: {name: $.client}}}"
    let keys = "SELECT source_event_id FROM client_journey_events WHERE voided_at IS NULL ORDER BY 1"
    try await withRemapSources([(one, 0)]) { sources, other in
      #expect(
        try await sources[0].send([Self.body("note", "1", 1), Self.body("note", "2", 2)]) == [
          "stored": 1, "duplicate": 1, "ignored": 0,
        ])
      try sources[0].correct(two)
      let done = try await sources[0].remap()
      #expect(done.counts.new == 2 && done.counts.gone == 1)
      #expect(try await other.rows(keys) == ["1", "2"])
      try sources[0].correct(one)
      let back = try await sources[0].remap()
      #expect(back.counts.changed == 1 && back.counts.gone == 2)
      #expect(try await other.rows(keys) == ["c1"])
      #expect(try await sources[0].remap().counts.different == 0)
    }
  }
}

private struct RemapLocks: CommitTesting {}
