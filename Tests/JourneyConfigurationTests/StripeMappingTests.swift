import Journey
import Testing

@Suite("Mapping: Stripe")
struct StripeMappingTests {
  /// An event as Stripe wraps it; `object` and `previous` without their braces.
  static func event(_ type: String, _ object: String, previous: String? = nil, created: String = "1763632800") -> String
  {
    let before = previous.map { #","previous_attributes":{\#($0)}"# } ?? ""
    return #"""
      {"id":"evt_A1","object":"event","api_version":"2024-06-20","created":\#(created),"livemode":true,"pending_webhooks":1,
       "request":{"id":null,"idempotency_key":null},"type":"\#(type)","data":{"object":{\#(object)}\#(before)}}
      """#
  }

  static let invoice =
    #"""
    "id":"in_7","object":"invoice","customer":"cus_9","amount_due":24900,"amount_paid":24900,"amount_remaining":0,
    "currency":"eur","number":"EX-7","status":"open","due_date":1763719200,"attempt_count":3,
    "next_payment_attempt":1763719200,"subscription":"sub_3"
    """#
  static let subscription =
    #"""
    "id":"sub_3","object":"subscription","customer":"cus_9","cancel_at":null,"cancel_at_period_end":false,
    "current_period_end":1766224800,"quantity":2,"pause_collection":null,"items":{"object":"list","data":[{"id":"si_1",
    "price":{"id":"price_pro"},"quantity":2}]}
    """#
  static let tail = "evt_A1 cus_9 2025-11-20T10:00:00Z"

  static func updated(
    _ name: String, status: String = "active", previous: String, _ outcome: String, object: String = ""
  ) -> MappingCase {
    MappingCase(
      "subscription updated: \(name)",
      event("customer.subscription.updated", subscription + #","status":"\#(status)""# + object, previous: previous),
      outcome)
  }

  static let cases: [MappingCase] = [
    MappingCase(
      "invoice created", event("invoice.created", invoice), "event invoice_created >=billing \(tail)",
      metadata: ["invoiceId": "\"in_7\"", "amount": "24900", "currency": "\"eur\""]),
    MappingCase("invoice finalized", event("invoice.finalized", invoice), "event invoice_created >=billing \(tail)"),
    MappingCase("invoice sent", event("invoice.sent", invoice), "event invoice_sent >=billing \(tail)"),
    MappingCase(
      "invoice overdue", event("invoice.overdue", invoice), "event invoice_overdue >=billing \(tail)",
      metadata: ["invoiceId": "\"in_7\"", "dueDate": "1763719200"]),
    MappingCase(
      "invoice voided", event("invoice.voided", invoice), "event invoice_voided billing \(tail)",
      metadata: ["invoiceId": "\"in_7\""]),
    MappingCase(
      "invoice paid", event("invoice.paid", invoice), "event invoice_paid billing \(tail)",
      metadata: ["invoiceId": "\"in_7\"", "amount": "24900", "subscriptionId": "\"sub_3\""]),
    MappingCase(
      "invoice paid, nothing due",
      event("invoice.paid", #""id":"in_8","customer":"cus_9","amount_paid":0,"currency":"usd""#),
      "ignored nothing to pay"),
    MappingCase(
      "invoice payment succeeded", event("invoice.payment_succeeded", invoice), "event invoice_paid billing \(tail)",
      metadata: ["invoiceId": "\"in_7\""]),
    MappingCase(
      "payment failed", event("invoice.payment_failed", invoice), "event payment_failed churn_risk \(tail)",
      metadata: ["attempt": "3", "nextAttempt": "1763719200"]),
    MappingCase(
      "payment failed, API of 2016",
      event(
        "invoice.payment_failed",
        #"""
        "id":"in_1","object":"invoice","date":1480672129,"closed":false,"paid":false,"customer":"cus_9","amount_due":0,
        "attempt_count":0,"currency":"aud","subscription":null
        """#
      ), "event payment_failed churn_risk \(tail)", metadata: ["subscriptionId": "absent", "status": "absent"]),
    MappingCase(
      "payment failed, API of 2025",
      event(
        "invoice.payment_failed",
        #"""
        "id":"in_1","customer":"cus_9","amount_due":100,"parent":{"type":"subscription_details",
        "subscription_details":{"subscription":"sub_5"}}
        """#
      ), "event payment_failed churn_risk \(tail)", metadata: ["subscriptionId": "\"sub_5\""]),
    MappingCase(
      "invoice written off", event("invoice.marked_uncollectible", invoice),
      "event invoice_written_off churn_risk \(tail)"),
    MappingCase(
      "invoice to come has no id",
      event("invoice.upcoming", #""object":"invoice","customer":"cus_9","amount_due":1000,"currency":"usd""#),
      "event renewal_upcoming >=billing \(tail)", metadata: ["invoiceId": "absent", "amount": "1000"]),
    MappingCase("invoice updated", event("invoice.updated", invoice), "ignored other invoice events"),
    MappingCase(
      "subscription created", event("customer.subscription.created", subscription + #","status":"active""#),
      "event subscription_started onboarding \(tail)",
      metadata: ["plan": "\"price_pro\"", "quantity": "2", "reason": "absent"]),
    MappingCase(
      "trial started", event("customer.subscription.created", subscription + #","status":"trialing""#),
      "event trial_started onboarding \(tail)"),
    MappingCase(
      "trial ending", event("customer.subscription.trial_will_end", subscription + #","status":"trialing""#),
      "event trial_ending >=onboarding \(tail)"),
    MappingCase(
      "subscription deleted",
      event(
        "customer.subscription.deleted",
        subscription + #"""
          ,"status":"canceled","cancellation_details":{"reason":"cancellation_requested"}
          """#),
      "event subscription_cancelled churn_risk \(tail)", metadata: ["reason": "\"cancellation_requested\""]),
    updated("metadata only", previous: #""metadata":{"test":null}"#, "ignored other updates of a subscription"),
    updated(
      "activated", previous: #""status":"incomplete""#, "event subscription_activated active_project \(tail)"),
    updated(
      "to past due", status: "past_due", previous: #""status":"active""#,
      "event subscription_past_due churn_risk \(tail)"),
    updated(
      "to unpaid", status: "unpaid", previous: #""status":"past_due""#, "event subscription_past_due churn_risk \(tail)"
    ),
    updated(
      "to canceled", status: "canceled", previous: #""status":"active""#,
      "event subscription_cancelled churn_risk \(tail)"),
    updated(
      "trial granted", status: "trialing", previous: #""status":"active","current_period_end":1,"trial_end":null"#,
      "event subscription_changed >=retention \(tail)"),
    updated("quantity", previous: #""quantity":1"#, "event subscription_changed >=retention \(tail)"),
    updated(
      "plan", previous: #""plan":{"id":"price_basic"},"items":{"data":[{"price":{"id":"price_basic"}}]}"#,
      "event subscription_changed >=retention \(tail)"),
    updated(
      "renewed", previous: #""current_period_end":1763632800,"latest_invoice":"in_6""#,
      "event subscription_renewed retention \(tail)"),
    updated(
      "collection paused", previous: #""pause_collection":null"#, "event subscription_paused churn_risk \(tail)",
      object: #","pause_collection":{"behavior":"void"}"#),
    MappingCase(
      "cancellation asked for",
      event(
        "customer.subscription.updated",
        #""id":"sub_3","customer":"cus_9","status":"active","cancel_at_period_end":true,"cancel_at":1766224800"#,
        previous: #""cancel_at_period_end":false,"cancel_at":null"#), "event cancel_requested churn_risk \(tail)"),
    MappingCase(
      "cancellation asked for by date",
      event(
        "customer.subscription.updated",
        #""id":"sub_3","customer":"cus_9","status":"active","cancel_at_period_end":false,"cancel_at":1766224800"#,
        previous: #""cancel_at":null"#), "event cancel_requested churn_risk \(tail)"),
    MappingCase(
      "cancellation withdrawn",
      event(
        "customer.subscription.updated", subscription + #","status":"active""#,
        previous: #""cancel_at_period_end":true,"cancel_at":1766224800"#), "event cancel_withdrawn retention \(tail)"),
    MappingCase(
      "checkout completed",
      event(
        "checkout.session.completed",
        #"""
        "id":"cs_1","customer":"cus_9","mode":"payment","amount_total":3000,"currency":"usd",
        "customer_details":{"email":"kim@example.org","name":null,"phone":null}
        """#
      ), "event checkout_completed onboarding \(tail)", metadata: ["amount": "3000", "mode": "\"payment\""]),
    MappingCase(
      "checkout of a guest", event("checkout.session.completed", #""id":"cs_1","customer":null,"mode":"payment""#),
      "rejected missing_field $.data.object.customer.id or $.data.object.customer"),
    MappingCase(
      "quote accepted",
      event("quote.accepted", #""id":"qt_1","customer":"cus_9","amount_total":15000,"status":"accepted""#),
      "event deal_won onboarding \(tail)", metadata: ["quoteId": "\"qt_1\""]),
    MappingCase(
      "dispute names no customer",
      event("charge.dispute.created", #""id":"dp_1","charge":"ch_1","amount":500,"reason":"fraudulent""#),
      """
      rejected missing_field $.data.object.customer.id or $.data.object.customer or $.data.object.charge.customer or \
      "payment_intent" + $.data.object.payment_intent.id or $.data.object.payment_intent
      """),
    MappingCase(
      "dispute with its charge",
      event(
        "charge.dispute.created",
        #""id":"dp_1","charge":{"id":"ch_1","customer":"cus_9"},"amount":500,"reason":"fraudulent""#),
      "event charge_disputed churn_risk \(tail)", metadata: ["chargeId": "\"ch_1\"", "reason": "\"fraudulent\""]),
    MappingCase(
      "charge refunded", event("charge.refunded", #""id":"ch_1","customer":"cus_9","amount_refunded":500"#),
      "event payment_refunded keep \(tail)"),
    MappingCase(
      "customer created",
      event(
        "customer.created", #""id":"cus_9","object":"customer","email":"kim@example.org","name":"Kim","phone":null"#),
      "event customer_created >=lead \(tail)"),
    MappingCase(
      "customer expanded",
      event("invoice.paid", #""id":"in_7","customer":{"id":"cus_9","name":"Kim"},"amount_paid":1"#),
      "event invoice_paid billing \(tail)"),
    MappingCase("customer updated", event("customer.updated", #""id":"cus_9""#), "ignored other customer events"),
    MappingCase(
      "payment intent", event("payment_intent.succeeded", #""id":"pi_1","customer":"cus_9""#),
      "ignored reported by another event"),
    MappingCase("payout", event("payout.paid", #""id":"po_1""#), "ignored not about a client"),
    MappingCase(
      "thin event",
      #"{"id":"evt_2","object":"v2.core.event","type":"v1.billing.meter.no_meter_found","created":"2026-02-15T00:27:45.330Z"}"#,
      "ignored thin events"),
    MappingCase(
      "type that Stripe has not", event("invoice.exploded", invoice), "unlisted invoice.exploded"),
  ]

  @Test(arguments: cases) func maps(_ example: MappingCase) throws {
    try example.check(try #require(try ShippedMappings.load()["stripe"]))
  }

  @Test func createsTheCustomer() throws {
    let mapping = try #require(try ShippedMappings.load()["stripe"])
    let body = Self.event("customer.created", #""id":"cus_9","email":"kim@example.org","name":"Kim","phone":null"#)
    let input = MappingInput(
      document: try JSONDocument(parsing: body), header: { _ in MappingCase.org },
      limits: EventLimits(now: try #require(Timestamp(iso8601: "2026-11-23T00:00:00Z"))))
    guard case .event(let event) = mapping.map(input).outcomes[0] else {
      Issue.record("no event")
      return
    }
    #expect(event.client.creation == NewClient(name: "Kim", email: "kim@example.org", isEmailVerified: true))
    #expect(event.source == "stripe")
  }
}
