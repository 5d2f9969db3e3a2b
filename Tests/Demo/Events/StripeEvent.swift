/// A webhook body of Stripe. Keys are written in snake case.
struct StripeEvent: Encodable {
  struct Details: Encodable {
    let object: Object
    let previousAttributes: PreviousAttributes?
  }
  struct PreviousAttributes: Encodable {
    var cancelAtPeriodEnd: Bool?
    var currentPeriodEnd: Int?
  }
  struct Plan: Encodable {
    let id = "plan_team"
  }
  /// An invoice or a subscription: what one of them lacks is left out.
  struct Object: Encodable {
    let id: String
    let object: String
    let customer: String
    let status: String
    var amountDue: Int?
    var amountPaid: Int?
    var currency: String?
    var number: String?
    var cancelAtPeriodEnd: Bool?
    var currentPeriodEnd: Int?
    var quantity: Int?
    var plan: Plan?
  }

  let id: String
  let object = "event"
  let apiVersion = "2024-06-20"
  let created: Int
  let data: Details
  let livemode = true
  let type: String

  init(_ event: Occurrence) {
    id = "evt_demo\(event.client.number)n\(event.number)"
    created = event.time
    if event.what.hasPrefix("invoice.") {
      type = event.what
      data = Details(object: .invoice(event), previousAttributes: nil)
    } else {
      type = "customer.subscription." + (event.what == "subscription.created" ? "created" : "updated")
      let before: PreviousAttributes? =
        switch event.what {
        case "subscription.cancel": PreviousAttributes(cancelAtPeriodEnd: false)
        case "subscription.renewed": PreviousAttributes(currentPeriodEnd: event.time)
        default: nil
        }
      data = Details(object: .subscription(event), previousAttributes: before)
    }
  }
}

extension StripeEvent.Object {
  fileprivate static func invoice(_ event: Occurrence) -> Self {
    let isPaid = event.what == "invoice.paid"
    let amount = event.number("amount") ?? 0
    return Self(
      id: event.invoice("in") ?? "", object: "invoice", customer: event.client.stripeCustomer,
      status: isPaid ? "paid" : "open", amountDue: amount, amountPaid: isPaid ? amount : 0, currency: "eur",
      number: "R-\(event.client.number)-\(event.text("invoice") ?? "")")
  }

  fileprivate static func subscription(_ event: Occurrence) -> Self {
    Self(
      id: "sub_demo\(event.client.number)", object: "subscription", customer: event.client.stripeCustomer,
      status: "active", cancelAtPeriodEnd: event.what == "subscription.cancel",
      currentPeriodEnd: event.time + 30 * 86_400, quantity: 5, plan: StripeEvent.Plan())
  }
}
