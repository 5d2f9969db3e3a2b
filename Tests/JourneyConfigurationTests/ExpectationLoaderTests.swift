import Journey
import JourneyConfiguration
import Testing

/// Silence contracts in `decisions.yaml`.
@Suite struct ExpectationLoaderTests {
  private func load(_ yaml: String) throws -> [SilenceContract] {
    try DecisionLoader.load(yaml: yaml, file: "decisions.yaml").expectations
  }

  private func problems(_ contract: String, _ more: String = "") -> String {
    do {
      _ = try load("expectations:\n  - {\(contract)}\n\(more)")
      return ""
    } catch {
      return "\(error)"
    }
  }

  @Test func contractsAreRead() throws {
    let read = try load(
      """
      eventTypes: [invoice_disputed]
      expectations:
        - {after: invoice_overdue, expect: [invoice_paid, invoice_disputed], same: invoiceId, within: 14d, else: invoice_unpaid_14d}
        - {after: invoice_unpaid_14d, expect: invoice_paid, same: invoiceId, within: 14d, else: invoice_unpaid_28d}
        - {after: [proposal_sent, deal_created], expect: message_received, within: 7d, else: proposal_unanswered}
      """)
    #expect(
      read == [
        SilenceContract(
          otherwise: "invoice_unpaid_14d", after: ["invoice_overdue"], expected: ["invoice_paid", "invoice_disputed"],
          same: "invoiceId", within: .days(14)),
        SilenceContract(
          otherwise: "invoice_unpaid_28d", after: ["invoice_unpaid_14d"], expected: ["invoice_paid"], same: "invoiceId",
          within: .days(14)),
        SilenceContract(
          otherwise: "proposal_unanswered", after: ["proposal_sent", "deal_created"], expected: ["message_received"],
          within: .days(7)),
      ])
    #expect(try load("expectations: off") == [])
    #expect(try load("version: mine") == [])
  }

  @Test(arguments: [
    ("after: invoice_overdue, expect: invoice_payed, within: 14d, else: x", "did you mean invoice_paid?"),
    ("after: invoice_overdue, expect: zebra, within: 14d, else: x", "eventTypes: [zebra]"),
    ("after: invoice_overdue, expects: invoice_paid, within: 14d, else: x", "did you mean expect?"),
    ("after: invoice_overdue, expect: invoice_paid, else: x", "within is missing"),
    ("after: invoice_overdue, expect: invoice_paid, within: 14d", "else is missing"),
    ("after: invoice_overdue, expect: invoice_paid, within: 14 days, else: x", "is not a length of time"),
    ("after: invoice_overdue, expect: invoice_paid, within: 10s, else: x", "the time is from 1m to 366d"),
    ("after: invoice_overdue, expect: invoice_overdue, within: 1d, else: x", "opens the contract"),
    ("after: [invoice_overdue, x], expect: invoice_paid, within: 1d, else: x", "neither opens nor settles it"),
    ("after: invoice_overdue, expect: invoice_paid, within: 1d, else: Not Paid", "snake case"),
    ("after: invoice_overdue, expect: invoice_paid, within: 1d, else: x, same: openedBy", "the adapter itself writes"),
    ("after: invoice_overdue, expect: [], within: 1d, else: x", "the list is empty"),
  ])
  func mistakesAreNamed(contract: String, wanted: String) {
    let problem = problems(contract)
    #expect(problem.contains(wanted), "\(problem)")
    #expect(problem.contains("decisions.yaml:2:"), "\(problem)")
  }

  @Test func twoContractsHaveDifferentEvents() {
    let contract = "after: invoice_overdue, expect: invoice_paid, within: 14d, else: x"
    #expect(problems(contract, "  - {\(contract)}").contains("x is the event of another contract already"))
  }
}
