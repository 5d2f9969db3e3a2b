import FoundationEssentials
import Journey
import Testing

/// The rules `literal` against the design document's own algorithm.
@Suite struct DesignDocumentDecisionTests {
  private let rules = DecisionRules.literal

  @Test(arguments: propertySeeds)
  func randomHistoriesMatchTheDesignDocument(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    for _ in 0..<250 {
      let reference = Self.history(using: &random)
      var summary = ClientSummary()
      for event in reference.events.shuffled(using: &random) {
        let incoming = try Self.incoming(event, rules)
        summary.insert(incoming.event.stamp, stage: incoming.event.stage, signals: incoming.signals)
      }
      check(summary, against: reference)
    }
  }

  /// An event at a time, as callers of the design document's code do: after each, its answer for the history so far.
  @Test(arguments: propertySeeds)
  func eachEvaluationMatchesTheDesignDocument(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    for _ in 0..<25 {
      let reference = Self.history(using: &random)
      let incoming = try reference.events.map { try Self.incoming($0, rules) }
      let result = rules.evaluated(
        .test(aiScore: reference.aiScore, now: Timestamp(microseconds: reference.now)), taking: incoming,
        random: &random)
      try #require(result.evaluations.count == reference.events.count)
      for (index, evaluation) in result.evaluations.enumerated() {
        var past = reference
        past.events = Array(reference.events[...index])
        check(evaluation.assessment, evaluation.decision, against: past)
        #expect((evaluation.decision.winner(of: evaluation.assessment) != nil) == (past.actionForClient() != nil))
      }
    }
  }

  @Test func aClientWithoutAnyEventIsALead() {
    let reference = DesignDocumentReference(events: [], aiScore: nil, now: Timestamp.present.microseconds)
    check(ClientSummary(), against: reference)
    let assessment = rules.assess(ClientSummary(), aiScore: nil, at: .present)
    #expect(assessment.stage == .lead)
    #expect(assessment.score == 40)
  }

  @Test func aClientWorkedOutByHand() throws {
    // Overdue once, paid since, two of the last ten negative, nothing in the last thirty days: three risks, 60 + 25 -
    // 30.
    let day: Int64 = 86_400_000_000, now = Timestamp.present.microseconds
    typealias Event = DesignDocumentReference.Event
    let events = [
      Event(
        id: "1", source: "s", occurredAt: now - 50 * day, stage: "billing", eventType: "invoice_overdue", sentiment: nil
      ),
      Event(
        id: "2", source: "s", occurredAt: now - 49 * day, stage: "active_project", eventType: "call",
        sentiment: "negative"),
      Event(
        id: "3", source: "s", occurredAt: now - 48 * day, stage: "retention", eventType: "call", sentiment: "negative"),
      Event(
        id: "4", source: "s", occurredAt: now - 40 * day, stage: "billing", eventType: "invoice_paid", sentiment: nil),
    ]
    var summary = ClientSummary()
    for event in events {
      let incoming = try Self.incoming(event, rules)
      summary.insert(incoming.event.stamp, stage: incoming.event.stage, signals: incoming.signals)
    }
    let assessment = rules.assess(summary, aiScore: 60, at: .present)
    #expect(assessment.stage == .billing)
    #expect(assessment.score == 55)
    #expect(assessment.level == .high)
    #expect(assessment.priority == .high)
    #expect(assessment.candidates.map(\.action) == [.sendVoiceMessage, .emailOutreach, .conciergePersonalIntervention])
    check(summary, against: DesignDocumentReference(events: events, aiScore: 60, now: now))
  }

  // MARK: Helpers

  private func check(
    _ summary: ClientSummary, against reference: DesignDocumentReference, _ location: SourceLocation = #_sourceLocation
  ) {
    let now = Timestamp(microseconds: reference.now)
    let assessment = rules.assess(summary, aiScore: reference.aiScore, at: now)
    check(assessment, rules.decide(assessment, actionHistory: ActionHistory(), at: now), against: reference, location)
  }

  private func check(
    _ assessment: Assessment, _ decision: Decision, against reference: DesignDocumentReference,
    _ location: SourceLocation = #_sourceLocation
  ) {
    #expect(assessment.stage.rawValue == reference.currentStage(), sourceLocation: location)
    #expect(assessment.risks.map(\.risk.rawValue) == reference.detectRisks(), sourceLocation: location)
    let score = DesignDocumentReference.Score(
      score: assessment.score, riskLevel: assessment.level.rawValue,
      recommendedActions: assessment.candidates.map(\.action.rawValue))
    #expect(score == reference.journeyScore(), sourceLocation: location)
    let action = decision.winner(of: assessment).map {
      DesignDocumentReference.Action(
        action: $0.action.rawValue, priority: assessment.priority.rawValue, reason: $0.reason)
    }
    #expect(action == reference.actionForClient(), sourceLocation: location)
  }

  private static func history(using random: inout SeededRandom) -> DesignDocumentReference {
    let now = Timestamp.present.microseconds, day: Int64 = 86_400_000_000
    // The edge of the window, a microsecond on either side of it, ties, and the future.
    let ages: [Int64] = [0, 1, day, 30 * day - 1, 30 * day, 30 * day + 1, 31 * day, 400 * day, -1, -day, -60 * day]
    let quiet = random.chance(0.3)
    let count = random.pick([0, 1, 2, 3, 4, 9, 10, 11, 12, 30])
    let events = (0..<count).map { number in
      DesignDocumentReference.Event(
        id: random.pick(["", "a", "A", "evt_"]) + "\(number)", source: random.pick(["/crm", "/billing"]),
        occurredAt: now
          - (random.chance(0.7)
            ? random.pick(quiet ? [30 * day, 30 * day + 1, 90 * day] : ages)
            : Int64.random(in: -20 * day...60 * day, using: &random)),
        stage: random.pick(DesignDocumentReference.stages),
        eventType: random.pick(["invoice_overdue", "invoice_paid", "call", "ticket_opened", ""]),
        sentiment: random.pick([nil, nil, nil, "negative", "negative", "positive", "Negative", "neutral", ""]))
    }
    let aiScore: Double? = random.pick([
      nil, 0, -0.0, 1, 50, 100, 0.1, 72.35, 33.333333333333336, -5, -1000.25, 1e15, 1e300, .nan, .infinity,
      Double.random(in: -100...200, using: &random),
    ])
    return DesignDocumentReference(events: events, aiScore: aiScore, now: now)
  }

  private static func incoming(_ event: DesignDocumentReference.Event, _ rules: DecisionRules) throws -> IncomingEvent {
    var json = JSONWriter()
    json.beginObject()
    json.member("sentiment", event.sentiment)
    json.endObject()
    let metadata = try JSONDocument(parsing: json.bytes).root
    let stage = try #require(Stage(rawValue: event.stage))
    return IncomingEvent(
      id: UUID(),
      event: JourneyEvent(
        orgID: UUID(), source: event.source, sourceEventID: event.id, client: ClientReference(externalID: "c"),
        type: event.eventType,
        stage: stage, occurredAt: Timestamp(microseconds: event.occurredAt), metadata: json.bytes),
      signals: SignalReader(rules.signals).signals(
        type: event.eventType, stage: stage, actor: nil, sourceEventID: event.id, metadata: metadata))
  }
}
