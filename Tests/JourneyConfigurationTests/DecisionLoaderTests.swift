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

  @Test func whatClientsAllowIsRead() throws {
    func contact(_ text: String) throws -> ContactPolicy? {
      try DecisionLoader.load(
        yaml: "evaluateOverTime: true\nactions: { life: { noResponseAfter: 5d }, contact: { \(text) } }",
        file: "decisions.yaml"
      ).actions.contact
    }
    func refusal(_ text: String) -> String? {
      do { _ = try contact(text) } catch { return "\(error)" }
      return nil
    }
    let classes = try contact("classes: { email_outreach: transactional, schedule_meeting: mandatory }")?.classes
    #expect(classes?[.emailOutreach] == .transactional && classes?[.scheduleMeeting] == .mandatory)
    #expect(
      try contact("consent: { email: marketing, voice: calls.2 }")?.consent == [.email: "marketing", .voice: "calls.2"])
    #expect(try contact("holdout: { percent: 5 }")?.holdout == Holdout(percent: 5))
    #expect(
      try contact("holdout: { percent: 0.5, channels: [human], salt: q4 }")?.holdout
        == Holdout(percent: 0.5, channels: [.human], salt: "q4"))
    #expect(try contact("holdout: off")?.holdout == nil)
    #expect(try contact("unsubscribes: { email_unsubscribed: email }")?.unsubscribes == ["email_unsubscribed": .email])
    for (text, expected) in [
      ("classes: { email_outreach: loud }", "default, transactional, mandatory"),
      ("classes: { email: default }", "no such action"), ("consent: { fax: marketing }", "fax is no channel"),
      ("consent: { email: Marketing mail }", "Marketing mail is not a purpose"),
      ("holdout: { channels: [email] }", "`percent` is needed"),
      ("holdout: { percent: 51 }", "a number from 0.0 to 50.0"),
      ("unsubscribes: { email_unsubscribd: email }", "did you mean email_unsubscribed?"), ("exempt: []", "not known"),
    ] {
      let found = refusal(text)
      #expect(found?.contains(expected) == true, "\(text): \(found ?? "accepted")")
    }
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
