import FoundationEssentials
import Testing

@testable import Journey

/// A recorded decision can be made again.
@Suite struct DecisionInputTests {
  private static let rules: DecisionRules = {
    var rules = DecisionRules(), policy = ContactPolicy()
    rules.version = "v1"
    rules.recordsInputs = true
    policy.limits[.email] = ContactPolicy.Limit(most: 1, window: .days(7), gap: .hours(16))
    policy.consent[.voice] = "calls"
    policy.holdout = Holdout(percent: 20, channels: [.email])
    rules.actions.life = LifeRules()
    rules.actions.contact = policy
    return rules
  }()

  private struct Recorded {
    var input: [UInt8]
    var explanation: [UInt8]
  }

  /// Decisions on a client that lives through some weeks, whatever happens to it.
  private func decisions(_ count: Int, seed: UInt64) throws -> [Recorded] {
    var random = SeededRandom(seed: seed), all: [Recorded] = []
    var client = ClientSnapshot.test(now: .present)
    for number in 0..<count {
      if Int.random(in: 0..<6, using: &random) == 0 { client = ClientSnapshot.test(now: client.now) }
      client.id = Bool.random(using: &random) ? client.id : UUID()
      client.now = client.now + .hours(Int64.random(in: 0..<60, using: &random))
      client.aiScore = Bool.random(using: &random) ? nil : Double.random(in: 0..<100, using: &random)
      client.timeZones = [nil, "Europe/Berlin"]
      client.frozenSince = Int.random(in: 0..<4, using: &random) == 0 ? client.now : nil
      let decides = Int.random(in: 0..<5, using: &random) > 0, publishes = decides || Bool.random(using: &random)
      client.summary.insert("e\(number)", at: client.now, stage: Stage.allCases.randomElement(using: &random)) {
        $0.isNegative = Bool.random(using: &random)
      }
      let evaluation = Self.rules.evaluate(
        &client, without: .historyChange, publishes: publishes, decides: decides, random: &random)
      var risks = JSONWriter(reservingCapacity: 256), json = JSONWriter(reservingCapacity: 1024)
      evaluation.assessment.writeRisks(into: &risks)
      evaluation.writeExplanation(ruleVersion: Self.rules.version, risks: risks.bytes, into: &json)
      all.append(Recorded(input: try #require(evaluation.input), explanation: json.bytes))
    }
    return all
  }

  @Test(arguments: [1, 2, 3] as [UInt64]) func decisionsComeOutAsRecorded(_ seed: UInt64) throws {
    let verifier = DecisionVerifier(rules: Self.rules)
    let recorded = try decisions(500, seed: seed)
    for decision in recorded { #expect(verifier.verify(decision.input, decision.explanation) == .same) }
    #expect(Set(recorded.map(\.explanation)).count > 400, "they are not all alike")
  }

  @Test func whatComesOutOtherwiseIsNamed() throws {
    var recorded = try decisions(200, seed: 4)
    var changed = Self.rules
    changed.score.perRisk += 1
    let findings = recorded.map { DecisionVerifier(rules: changed).verify($0.input, $0.explanation) }
    let withRisks = recorded.map { String(decoding: $0.explanation, as: UTF8.self).contains(#""risk":"#) }
    for (finding, hasRisks) in zip(findings, withRisks) {
      if !hasRisks {
        #expect(finding == .same)
      } else if case .differs(let members) = finding {
        #expect(Set(members).isSubset(of: ["score", "contributions"]), "\(members)")
      }
    }
    #expect(findings.contains(.differs(["score", "contributions"])))
    changed.version = "v2"
    #expect(DecisionVerifier(rules: changed).verify(recorded[0].input, recorded[0].explanation) == .otherRules("v1"))
    let verifier = DecisionVerifier(rules: Self.rules)
    // Each byte counts.
    for place in recorded[0].input.indices {
      var input = recorded[0].input
      input[place] ^= 1
      #expect(verifier.verify(input, recorded[0].explanation) == .unreadable, "byte \(place)")
    }
    #expect(verifier.verify([], recorded[0].explanation) == .unreadable)
    #expect(verifier.verify(recorded[0].input, Array("[]".utf8)) == .unreadable)
    recorded[0].explanation = Array(
      String(decoding: recorded[0].explanation, as: UTF8.self).replacing(
        #""probability":1"#, with: #""probability":0.5"#
      )
      .utf8)
    #expect(verifier.verify(recorded[0].input, recorded[0].explanation) == .differs(["probability"]))
  }

  @Test func nothingIsRecordedUnlessItIsAskedFor() {
    var client = ClientSnapshot.test(now: .present), random = SystemRandomNumberGenerator()
    #expect(DecisionRules().evaluate(&client, without: .time, random: &random).input == nil)
    #expect(Self.rules.standing(of: client, after: nil).input == nil, "what only a reader asks for")
  }
}
