import FoundationEssentials
import Journey
import Testing

@Suite struct EvaluationTests {
  private static func event(_ id: String, at time: Timestamp, stage: Stage? = nil) -> IncomingEvent {
    .test(HistoryEvent(stamp: EventStamp(at: time, id: id, source: "test"), stage: stage, signals: Signals()))
  }

  /// Three events, not in order; `2` is the newest.
  private static let events = [
    event("1", at: .present - .days(3), stage: .lead), event("2", at: .present - .days(1), stage: .onboarding),
    event("3", at: .present - .days(2), stage: .churnRisk),
  ]

  @Test func aBatchIsEvaluatedOnceBecauseOfItsNewestEvent() throws {
    var random = SeededRandom(seed: 1)
    let result = DecisionRules().evaluated(.test(), taking: Self.events, random: &random)
    try #require(result.evaluations.count == 1)
    let evaluation = result.evaluations[0]
    #expect(evaluation.cause.incoming?.event.sourceEventID == "2")
    #expect(evaluation.cause.eventID == Self.events[1].id)
    #expect(evaluation.at == .present)
    #expect(evaluation.assessment.stage == .onboarding)
    #expect(evaluation.decision.winner(of: evaluation.assessment)?.action == .scheduleMeeting)
  }

  @Test func eachEventIsEvaluatedSeparatelyIfTheRulesSaySo() {
    var random = SeededRandom(seed: 1)
    let result = DecisionRules.literal.evaluated(.test(), taking: Self.events, random: &random)
    #expect(result.evaluations.map(\.cause.incoming?.event.sourceEventID) == ["1", "2", "3"])
    #expect(result.evaluations.map(\.assessment.stage) == [.lead, .onboarding, .onboarding])
    #expect(result.evaluations.map { ($0.at - .present).microseconds } == [0, 1, 2])
    #expect(result.evaluations.map(\.isAction) == [true, true, true])
  }

  @Test func bothCadencesMakeTheSameSummary() {
    var random = SeededRandom(seed: 1)
    let batch = DecisionRules().evaluated(.test(), taking: Self.events, random: &random)
    let single = DecisionRules.literal.evaluated(.test(), taking: Self.events, random: &random)
    #expect(batch.summary == single.summary)
    #expect(batch.summary.recent.map(\.at) == [1, 2, 3].map { .present - .days($0) })
  }

  @Test func aClientThatIsEvaluatedAgainIsDatedAfterTheLastTime() throws {
    var random = SeededRandom(seed: 1)
    var client = ClientSnapshot.test()
    let first = DecisionRules.literal.evaluate(&client, taking: Self.events, random: &random)
    let second = DecisionRules.literal.evaluate(&client, taking: Self.events, random: &random)
    #expect(try #require(first.last).at < #require(second.first).at)
  }

  @Test func withoutAnEventThereIsNothingToEvaluate() {
    var random = SeededRandom(seed: 1)
    for rules in [DecisionRules(), .literal] {
      #expect(rules.evaluated(.test(), taking: [], random: &random).evaluations.isEmpty)
    }
  }

  @Test func actionIdsAreUniqueOfVersion7AndCarryTheMomentOfTheDecision() throws {
    var random = SeededRandom(seed: 2)
    let events = (0..<200).map { Self.event("\($0)", at: .present, stage: .lead) }
    let result = DecisionRules.literal.evaluated(.test(), taking: events, random: &random)
    let ids = result.evaluations.map(\.id)
    #expect(Set(ids).count == 200)
    #expect(ids.allSatisfy { $0.uuid.6 >> 4 == 7 })
    let milliseconds = "0" + String(Timestamp.present.microseconds / 1000, radix: 16, uppercase: true)
    #expect(ids.allSatisfy { $0.uuidString.filter { $0 != "-" }.hasPrefix(milliseconds) })
    for (a, b) in zip(result.evaluations, result.evaluations.dropFirst()) { #expect(a.at < b.at) }
  }

  @Test func aPublishedActionIsRecordedAndCoolsDown() throws {
    var rules = DecisionRules()
    rules.evaluation = .perEvent
    var random = SeededRandom(seed: 1)
    let leads = (0..<4).map { Self.event("\($0)", at: .present, stage: .lead) }
    let result = rules.evaluated(.test(), taking: leads, random: &random)
    #expect(result.evaluations.map(\.isAction) == [true, false, false, false])
    let id = try #require(result.evaluations.first?.id)
    let entry = try #require(result.actionHistory.last[.emailOutreach])
    #expect(entry.actionID == id && entry.decidedAt == .present)
    #expect(result.actionHistory.last.count == 1)
    #expect(
      result.evaluations.last?.decision.verdicts.first == .coolingDown(actionID: id, until: .present + .hours(72)))

    let later = ClientSnapshot.test(
      summary: result.summary, actionHistory: result.actionHistory, now: .present + .hours(72))
    let again = rules.evaluated(later, taking: [Self.event("9", at: .present, stage: .lead)], random: &random)
    #expect(again.evaluations.first?.isAction == true && again.evaluations.first?.id != id)
    #expect(again.actionHistory.last[.emailOutreach]?.decidedAt == .present + .hours(72))
  }

  @Test func theLateInvoicesOfTheMomentReplaceThoseOfTheSummaryWhereThereAreAny() {
    var random = SeededRandom(seed: 1)
    var summary = ClientSummary()
    summary.lateInvoices = LateInvoices(count: 1, oldest: [.init(id: "in_1", overdueAt: .present)])
    func level(_ late: LateInvoices?) -> [Risk]? {
      DecisionRules().evaluated(.test(summary: summary, lateInvoices: late), taking: [Self.events[0]], random: &random)
        .evaluations.first?.assessment.risks.map(\.risk)
    }
    #expect(level(nil) == [.lowEngagement, .lateInvoices])
    #expect(level(LateInvoices()) == [.lowEngagement])
  }

  @Test func anEventThatIsKnownAlreadyIsEvaluatedWithoutAnyEffectOnTheState() {
    var random = SeededRandom(seed: 1)
    let first = DecisionRules().evaluated(.test(), taking: Self.events, random: &random)
    let second = DecisionRules().evaluated(
      .test(summary: first.summary), taking: Self.events.reversed(), random: &random)
    #expect(second.summary == first.summary)
    #expect(second.evaluations.last?.assessment == first.evaluations.last?.assessment)
  }

  @Test func anEvaluationExplainsItself() throws {
    var random = SeededRandom(seed: 1)
    let result = DecisionRules().evaluated(.test(aiScore: 72.5), taking: Self.events, random: &random)
    let evaluation = try #require(result.evaluations.first)
    var json = JSONWriter()
    var risks = JSONWriter()
    evaluation.assessment.writeRisks(into: &risks)
    evaluation.writeExplanation(ruleVersion: "v1", risks: risks.bytes, into: &json)
    let root = try JSONDocument(parsing: json.bytes).root
    #expect(root["ruleVersion"]?.string == "v1")
    #expect(root["stage"]?.string == "onboarding")
    #expect(root["contributions"]?.elements.map { $0["points"]?.double } == [72.5, 10])
    #expect(root["risks"]?.count == 0)
    #expect(root["candidates"]?[0]?["action"]?.string == "schedule_meeting")
    #expect(root["candidates"]?[0]?["verdict"]?.string == "chosen")
    #expect(root["cause"]?["id"]?.string == "2")
    #expect(root["probability"]?.int64 == 1)
  }

  @Test func anExplanationHasAVerdictPerCandidate() throws {
    var random = SeededRandom(seed: 1)
    var rules = DecisionRules()
    rules.actions.byRisk = [.init(.lowEngagement, .init(.sendVoiceMessage))]
    let first = rules.evaluated(.test(), taking: [Self.events[0]], random: &random)
    let client = ClientSnapshot.test(
      summary: first.summary, actionHistory: first.actionHistory, now: .present + .days(1))
    let second = rules.evaluated(client, taking: [Self.events[0]], random: &random)
    func candidates(_ result: EvaluatedClient) throws -> JSONValue {
      var json = JSONWriter()
      try #require(result.evaluations.last).writeCandidates(into: &json)
      return try JSONDocument(parsing: json.bytes).root
    }
    let before = try candidates(first), after = try candidates(second)
    #expect(before.elements.map { $0["verdict"]?.string } == ["chosen", "outranked"])
    #expect(before[1]?["by"]?.string == "email_outreach")
    #expect(before[1]?["trigger"]?.string == "risk:low_engagement")
    #expect(after.elements.map { $0["verdict"]?.string } == ["cooling_down", "outranked"])
    #expect(after[0]?["openAction"]?.string == first.evaluations[0].id.uuidString.lowercased())
    #expect(after[0]?["until"]?.string == "2026-11-23T10:00:00Z")
  }
}

extension Evaluation {
  fileprivate var isAction: Bool { decision.winner(of: assessment) != nil }
}
