import Journey
import Testing

/// What an event's type and metadata say beyond its stage.
@Suite struct EvaluationSignalsTests {
  private let rules = SignalRules()

  private func signals(_ type: String, _ metadata: String = "{}", stage: Stage? = .billing, _ rules: SignalRules? = nil)
    throws -> Signals
  {
    let value = try JSONDocument(parsing: metadata).root
    var signals = SignalReader(rules ?? self.rules).signals(
      type: type, stage: stage, actor: .client, sourceEventID: "evt_1", metadata: value)
    (signals.kind, signals.rank) = (0, 0)
    return signals
  }

  @Test func anEventThatSaysNothingHasNoSignal() throws {
    #expect(try signals("call") == Signals())
    #expect(try signals("call", "[]") == Signals())
    #expect(try signals("", #"{"invoiceId":"in_1","usage":3}"#) == Signals())
  }

  @Test(arguments: [
    (#"{"sentiment":"negative"}"#, true), (#"{"sentiment":"Negative"}"#, false), (#"{"sentiment":"positive"}"#, false),
    (#"{"sentiment":-1}"#, false), (#"{"sentiment":["negative"]}"#, false), (#"{"sentiment":null}"#, false),
  ])
  func theMoodIsNegativeOnlyIfTheMetadataSaysSo(metadata: String, isNegative: Bool) throws {
    #expect(try signals("survey_answered", metadata).isNegative == isNegative)
  }

  @Test func anOverdueNoticeOfTheDesignDocumentNeedsTheStageBilling() throws {
    #expect(try signals("invoice_overdue").isOverdueNotice)
    #expect(try !signals("invoice_overdue", stage: .retention).isOverdueNotice)
    #expect(try !signals("invoice_overdue", stage: nil).isOverdueNotice)
    #expect(try !signals("invoice_paid").isOverdueNotice)
  }

  @Test func invoicesAreNamedByTextOrNumber() throws {
    #expect(try signals("invoice_overdue", #"{"invoiceId":"in_1"}"#).invoice == .overdue(id: "in_1"))
    #expect(
      try signals("invoice_overdue", #"{"invoiceId":12345678901234567890}"#).invoice
        == .overdue(id: "12345678901234567890"))
    #expect(try signals("invoice_paid", #"{"invoiceId":"in_1"}"#).invoice == .settled(id: "in_1"))
    #expect(try signals("invoice_voided", #"{"invoiceId":"in_1"}"#).invoice == .settled(id: "in_1"))
    #expect(try signals("invoice_sent", #"{"invoiceId":"in_1"}"#).invoice == nil)
  }

  @Test(arguments: ["{}", #"{"invoiceId":""}"#, #"{"invoiceId":null}"#, #"{"invoiceId":{}}"#])
  func aNoticeWithoutAnInvoiceStandsForItselfAndAPaymentWithoutOneSettlesNothing(metadata: String) throws {
    #expect(try signals("invoice_overdue", metadata).invoice == .overdue(id: "event:evt_1"))
    #expect(try signals("invoice_paid", metadata).invoice == nil)
  }

  @Test func progressAndTicketsFollowFromTheType() throws {
    #expect(try signals("milestone_completed").progress == .advanced)
    #expect(try signals("deliverable_sent").progress == .advanced)
    #expect(try signals("milestone_delayed").progress == .delayed)
    #expect(try signals("ticket_opened").isTicketOpened)
    #expect(try !signals("ticket_closed").isTicketOpened)
  }

  @Test func usageIsTheMetadatasElseTheTypes() throws {
    #expect(try signals("usage_reported", #"{"usage":12.5}"#).usage == 12.5)
    #expect(try signals("usage_reported").usage == nil)
    #expect(try signals("usage_reported", #"{"usage":"12"}"#).usage == nil)
    #expect(try signals("usage_low").usage == 0)
    #expect(try signals("usage_low", #"{"usage":7}"#).usage == 7)
    #expect(try signals("usage_high").usage == 100)
    #expect(try signals("call", #"{"usage":7}"#).usage == nil)
  }

  @Test func theTypesCanBeSet() throws {
    var rules = SignalRules()
    rules.ticketOpened = ["case_opened"]
    rules.usage = ["seats": 40]
    #expect(try signals("case_opened", "{}", stage: nil, rules).isTicketOpened)
    #expect(try !signals("ticket_opened", "{}", stage: nil, rules).isTicketOpened)
    #expect(try signals("seats", "{}", stage: nil, rules).usage == 40)
  }
}
