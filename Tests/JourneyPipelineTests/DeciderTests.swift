import FoundationEssentials
import Journey
import JourneyPipeline
import Testing

@Suite struct DeciderTests {
  private static func client(_ summary: ClientSummary = ClientSummary(), _ outreach: Outreach = Outreach()) -> ClientSnapshot {
    ClientSnapshot(
      id: UUID(), orgID: UUID(), name: nil, email: nil, phone: nil, aiScore: nil, summary: summary, outreach: outreach,
      lateInvoices: nil, now: Timestamp(seconds: 1_795_168_800))
  }

  private func recommend(_ evaluation: Evaluation, for client: ClientSnapshot) -> RecommendedAction? {
    DecisionRules().action(of: evaluation, for: client, risks: Array("[]".utf8), recommended: Array("[]".utf8))
  }

  private func evaluate(_ client: ClientSnapshot, _ id: String) -> ClientEvaluation {
    var random = IDRandom()
    return DecisionRules().evaluate(client, taking: [.test(id, client: "c")], random: &random)
  }

  @Test func `an evaluation with a winner has an action under its id`() throws {
    let client = Self.client()
    let evaluation = try #require(evaluate(client, "e1").evaluations.first)
    let action = try #require(recommend(evaluation, for: client))
    #expect(action.action == .emailOutreach)
    #expect(action.id == evaluation.id)
    #expect(action.channel == .email && action.causeID == "e1" && action.priority == .low)
  }

  @Test func `an evaluation that cools down has none`() throws {
    let first = evaluate(Self.client(), "e1")
    let client = Self.client(first.summary, first.outreach)
    let evaluation = try #require(evaluate(client, "e2").evaluations.first)
    #expect(!evaluation.assessment.candidates.isEmpty)
    #expect(recommend(evaluation, for: client) == nil)
  }

  @Test func `ids differ from one evaluation to the next`() throws {
    let ids = try (0..<100).map { _ in try #require(evaluate(Self.client(), "e1").evaluations.first?.id) }
    #expect(Set(ids).count == 100)
  }
}
