import Foundation
import Journey
import JourneyConfiguration
import Testing

/// `journey decisions check`: what cannot have the effect that it seems to have.
@Suite struct RulesCheckTests {
  private static let types = Set(EventTypes.all.map(\.type))
  private static let root = (0..<3).reduce(URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()) { url, _ in
    url.deletingLastPathComponent()
  }.path

  @Test(arguments: ["decisions.yaml", "profiles/literal/decisions.yaml"])
  func shippedRulesAreInOrder(_ file: String) throws {
    let rules = try DecisionLoader.load(file: "\(Self.root)/config/\(file)")
    #expect(rules.findings(types: Self.types) == [])
  }

  @Test(arguments: [
    ("risks: { late_invoices: off }", "actions.byRisk[1]: late_invoices is switched off"),
    ("risks: { high_support_tickets: { atLeast: 3 } }", "actions.byRisk: no action follows from high_support_tickets"),
    (
      "actions: { byRisk: [{ late_invoices: email_outreach }, { late_invoices: email_outreach }] }",
      "actions.byRisk[1]: email_outreach follows from late_invoices already"
    ),
    ("signals: { ticketOpened: [ticket_opend] }", "signals.ticketOpened: ticket_opend"),
    ("CONTACT limits: { voice: { most: 1, within: 7d } }", "actions.contact.limits.voice: no action"),
    ("CONTACT consent: { voice: calls }", "actions.contact.consent.voice: no action"),
    ("CONTACT classes: { send_voice_message: mandatory }", "actions.contact.classes.send_voice_message: nothing asks"),
    ("CONTACT pauses: { send_voice_message: 3d }", "actions.contact.pauses.send_voice_message: nothing asks"),
    (
      "CONTACT unsuitable: { offer_credit_pack: [low_engagement] }",
      "actions.contact.unsuitable.offer_credit_pack: low_engagement is switched off"
    ),
  ])
  func whatHasNoEffectIsFound(_ text: String, _ expected: String) throws {
    // Without calls: nothing asks for them.
    let contact = """
      evaluateOverTime: true
      risks: { low_engagement: off }
      actions: { byRisk: [{ late_invoices: email_outreach }], life: { noResponseAfter: 5d }, contact: { REST } }
      """
    let yaml =
      text.hasPrefix("CONTACT ") ? contact.replacing("REST", with: text.dropFirst("CONTACT ".count)) : text
    let findings = try DecisionLoader.load(yaml: yaml, file: "decisions.yaml").findings(types: Self.types)
      .map { "\($0.key): \($0.problem)" }
    #expect(findings.contains { $0.hasPrefix(expected) }, "\(findings)")
  }
}
