import TestSupport
import FoundationEssentials
import Journey
import Testing

@Suite struct DeciderTests {
  private static func client() -> ClientSnapshot {
    ClientSnapshot(
      id: UUID(), orgID: UUID(), name: nil, email: nil, phone: nil, aiScore: nil, summary: ClientSummary(),
      actionHistory: ActionHistory(),
      lateInvoices: nil, now: Timestamp(seconds: 1_795_168_800))
  }

  private func recommend(_ evaluation: Evaluation, for client: ClientSnapshot) -> RecommendedAction? {
    DecisionRules().action(of: evaluation, for: client, risks: Array("[]".utf8), recommended: Array("[]".utf8))
  }

  private func evaluate(_ client: inout ClientSnapshot, _ id: String) -> Evaluation? {
    var random = IDRandom()
    return DecisionRules().evaluate(&client, taking: [.test(id, client: "c")], random: &random).first
  }

  @Test func anEvaluationWithAWinnerHasAnActionUnderItsId() throws {
    var client = Self.client()
    let evaluation = try #require(evaluate(&client, "e1"))
    let action = try #require(recommend(evaluation, for: client))
    #expect(action.action == .emailOutreach)
    #expect(action.id == evaluation.id)
    #expect(action.channel == .email && action.causeID == "e1" && action.priority == .low)
  }

  @Test func anEvaluationThatCoolsDownHasNone() throws {
    var client = Self.client()
    _ = evaluate(&client, "e1")
    let evaluation = try #require(evaluate(&client, "e2"))
    #expect(!evaluation.assessment.candidates.isEmpty)
    #expect(recommend(evaluation, for: client) == nil)
  }

  @Test func idsDifferFromOneEvaluationToTheNext() throws {
    var client = Self.client()
    let ids = try (0..<100).map { _ in try #require(evaluate(&client, "e1")?.id) }
    #expect(Set(ids).count == 100)
  }
}
