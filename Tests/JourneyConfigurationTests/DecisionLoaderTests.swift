import Foundation
import Journey
import JourneyConfiguration
import Testing

@Suite struct DecisionLoaderTests {
  /// A copy of a profile of 0.3, which evaluated nobody without an event, goes on like that.
  @Test func timeIsFollowedOnlyWhereTheFileSaysSo() throws {
    #expect(try !DecisionLoader.load(yaml: "version: mine", file: "decisions.yaml").evaluatesOverTime)
    #expect(try DecisionLoader.load(yaml: "evaluateOverTime: true", file: "decisions.yaml").evaluatesOverTime)
  }

  @Test func theShippedRulesAreRead() throws {
    let file = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
    let root = (0..<3).reduce(file) { directory, _ in directory.deletingLastPathComponent() }.path
    let shipped = root + "/config/decisions.yaml"
    let rules = try DecisionLoader.load(file: shipped).actions
    #expect(rules.contact?.limits[.email] == ContactPolicy.Limit(most: 1, window: .days(7), gap: .hours(16)))
    #expect(rules.contact?.pauses[.triggerSatisfactionSurvey] == .days(90))
    #expect(rules.contact?.limits[.voice] == ContactPolicy.Limit(most: 1, window: .days(7), gap: .hours(24)))
    #expect(rules.contact?.unsuitable[.offerCreditPack] == [.lateInvoices, .negativeSentiment])
    #expect(rules.contact?.classes == [:] && rules.contact?.consent == [:] && rules.contact?.holdout == nil)
    let literal = try DecisionLoader.load(file: root + "/config/profiles/literal/decisions.yaml").actions
    #expect(literal.contact == nil && literal.life == nil)
  }

  @Test func eachKindOfActionMayExpireAfterATimeOfItsOwn() throws {
    func actions(_ value: String) throws -> ActionRules {
      try DecisionLoader.load(yaml: "actions: { expiresAfter: \(value) }", file: "decisions.yaml").actions
    }
    #expect(try actions("2h").expiry(of: .emailOutreach) == .hours(2))
    #expect(try actions("off").expiry(of: .emailOutreach) == nil)
    let own = try actions("{ default: 3h, trigger_satisfaction_survey: 14d, schedule_meeting: off }")
    #expect(own.expiry(of: .emailOutreach) == .hours(3) && own.expiry(of: .triggerSatisfactionSurvey) == .days(14))
    #expect(own.expiry(of: .scheduleMeeting) == nil)
    #expect(try actions("{ schedule_meeting: 1h }").expiry(of: .emailOutreach) == .hours(72))
    #expect(throws: (any Error).self) { try actions("{ nonsense: 1h }") }
    #expect(throws: (any Error).self) { try actions("{ schedule_meeting: soon }") }
  }
}
