import FoundationEssentials
import Journey

/// Inputs of typical sizes. They are the same in every run, because instruction counts are compared.
enum Samples {
  static let organization = uuid(1)
  static let now = Timestamp(seconds: 1_790_000_000)

  /// A CloudEvent of about 1 KiB.
  static let cloudEvent = Array(
    """
    {"specversion":"1.0","id":"evt_000000042","source":"/support","type":"survey_answered","time":"2026-09-20T10:11:12.123456Z",\
    "subject":"00000000-0000-4000-a000-000000000002","orgid":"00000000-0000-4000-a000-000000000001","datacontenttype":"application/json",\
    "data":{"sentiment":"negative","survey":{"id":"sv-118","name":"Quarterly check-in","channel":"email","language":"en"},\
    "answers":[{"question":"How likely are you to recommend us?","value":3},{"question":"What should be better?",\
    "value":"Replies take too long, and the last two reports came late."}],"agent":{"name":"Kim Doe","team":"north"},\
    "note":"\(String(repeating: "The client asked for a call back before the end of the week. ", count: 5))","tags":["q3","renewal"]}}
    """.utf8)

  /// An invoice notification of a payment provider, of about 1 KiB.
  static let stripe = Array(
    """
    {"id":"evt_bench_1","object":"event","api_version":"2025-01-01","created":1789990000,"livemode":true,"pending_webhooks":1,\
    "type":"invoice.paid","data":{"object":{"id":"in_bench_1","object":"invoice","account_country":"DE","amount_due":129900,\
    "amount_paid":129900,"amount_remaining":0,"attempt_count":1,"attempted":true,"auto_advance":false,"billing_reason":"subscription_cycle",\
    "collection_method":"charge_automatically","created":1789986400,"currency":"eur","customer":"cus_bench_7",\
    "customer_email":"someone@example.org","customer_name":"Example GmbH","due_date":null,"number":"EX-0042","paid":true,\
    "period_end":1789986400,"period_start":1787308000,"status":"paid","subscription":"sub_bench_3","subtotal":109160,"tax":20740,\
    "total":129900,"lines":{"object":"list","data":[{"id":"il_bench_1","amount":129900,"currency":"eur","quantity":1,\
    "description":"\(String(repeating: "One month of the service. ", count: 3))"}],"has_more":false},"metadata":{"project":"p-9"}},\
    "previous_attributes":{"status":"open"}},"request":{"id":null,"idempotency_key":null}}
    """.utf8)

  static let event = incoming(
    100, source: "/billing", type: "invoice_overdue", stage: .billing, at: now - .hours(1),
    metadata: #"{"invoiceId":"in_1042","amountDue":12000,"currency":"eur"}"#)

  /// A client with a full summary and two risks.
  static let client: ClientSnapshot = {
    var summary = ClientSummary()
    for n in 0..<20 {
      let event = incoming(
        n, source: "/crm", type: n % 4 == 0 ? "survey_answered" : "milestone_completed",
        stage: n % 4 == 0 ? .awaitingFeedback : .activeProject,
        at: now - .days(Int64(2 + n)), metadata: "{}")
      var signals = Signals()
      signals.isNegative = n % 4 == 0
      signals.isTicketOpened = n % 3 == 0
      summary.insert(event.event.stamp, stage: event.event.stage, signals: signals)
    }
    return ClientSnapshot(
      id: uuid(2), orgID: organization, name: "Example GmbH", email: "someone@example.org", phone: "+49 30 5550100",
      aiScore: 61,
      summary: summary, actionHistory: ActionHistory(), lateInvoices: nil, now: now)
  }()

  private static func incoming(_ n: Int, source: String, type: String, stage: Stage, at: Timestamp, metadata: String)
    -> IncomingEvent
  {
    var signals = Signals()
    signals.isOverdueNotice = type == "invoice_overdue"
    return IncomingEvent(
      id: uuid(1000 + n),
      event: JourneyEvent(
        orgID: organization, source: source, sourceEventID: "evt_\(100_000 + n)", client: ClientReference(id: uuid(2)),
        type: type, stage: stage,
        occurredAt: at, metadata: Array(metadata.utf8)),
      signals: signals)
  }

  private static func uuid(_ n: Int) -> UUID {
    UUID(
      uuid: (
        0, 0, 0, 0, 0, 0, 0x40, 0, 0xa0, 0, 0, 0, UInt8(truncatingIfNeeded: n >> 24),
        UInt8(truncatingIfNeeded: n >> 16),
        UInt8(truncatingIfNeeded: n >> 8), UInt8(truncatingIfNeeded: n)
      ))
  }
}
