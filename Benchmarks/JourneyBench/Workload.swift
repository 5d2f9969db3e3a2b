import AMQPClient
import Foundation

/// The events of one run. They are the same for every program, except for the run's number in their ids.
struct Workload {
  static let organizations = 20
  static let sources = ["/billing", "/crm", "/support"]
  static let types = [
    "lead_created", "lead_qualified", "contract_signed", "meeting_scheduled", "milestone_completed", "deliverable_sent",
    "invoice_sent",
    "invoice_paid", "invoice_overdue", "ticket_opened", "ticket_closed", "survey_answered", "subscription_renewed",
    "usage_high", "cancel_requested",
  ]

  let run: Int
  let clients: Int
  /// The percentage of events for the first client.
  let hotShare: Int
  private let now = Int(Date().timeIntervalSince1970)
  private var random = SplitMix64(state: 7)

  init(run: Int, clients: Int, hotShare: Int) {
    self.run = run
    self.clients = clients
    self.hotShare = hotShare
  }

  static func organizationID(_ n: Int) -> String { id("a000", n % organizations) }
  static func clientID(_ n: Int) -> String { id("c000", n) }
  private static func id(_ kind: String, _ n: Int) -> String {
    let digits = String(n + 1, radix: 16)
    return "00000000-0000-4000-\(kind)-" + String(repeating: "0", count: 12 - digits.count) + digits
  }

  /// The prefix of the run's event ids. It is unique to the run.
  static func prefix(_ run: Int) -> String { "evt_" + padded(run, 4) + "_" }
  /// The event's number in such an id.
  static func index(ofID id: String) -> Int? { Int(id.dropFirst(9)) }

  mutating func event(_ index: Int) -> OutboundMessage {
    let client = Int.random(in: 0..<100, using: &random) < hotShare ? 0 : Int.random(in: 0..<clients, using: &random)
    let type = Self.types[Int.random(in: 0..<Self.types.count, using: &random)]
    let (source, data) = content(type, index)
    return Self.message(id: Self.prefix(run) + padded(index, 8), source, type, at: time(), client: client, data)
  }

  static func message(id: String, _ source: String, _ type: String, at time: String, client: Int, _ data: String)
    -> OutboundMessage
  {
    let body =
      "{\"specversion\":\"1.0\",\"id\":\"\(id)\",\"source\":\"\(source)\",\"type\":\"\(type)\",\"time\":\"\(time)\","
      + "\"subject\":\"\(clientID(client))\",\"orgid\":\"\(organizationID(client))\",\"data\":\(data)}"
    return OutboundMessage(
      exchange: "journey.events", routingKey: source.dropFirst() + "." + type,
      properties: MessageProperties(contentType: "application/cloudevents+json", messageID: id), body: Array(body.utf8))
  }

  private mutating func content(_ type: String, _ index: Int) -> (source: String, data: String) {
    if type.hasPrefix("invoice") {
      let invoice = Int.random(in: 0..<20_000, using: &random), amount = Int.random(in: 100..<99_000, using: &random)
      return ("/billing", "{\"invoiceId\":\"in_\(invoice)\",\"amountDue\":\(amount),\"currency\":\"eur\"}")
    }
    if type == "survey_answered" {
      let mood = ["negative", "neutral", "positive"][Int.random(in: 0..<3, using: &random)]
      return ("/support", "{\"sentiment\":\"\(mood)\",\"comment\":\"comment \(index)\"}")
    }
    return (
      "/crm",
      "{\"note\":\"a note of some length, number \(index)\",\"agent\":\"agent-\(Int.random(in: 0..<50, using: &random))\"}"
    )
  }

  /// A time within the last 80 days.
  private mutating func time() -> String {
    Self.time(
      now - Int.random(in: 0..<80 * 86_400, using: &random), microseconds: Int.random(in: 0..<1_000_000, using: &random)
    )
  }

  static func time(_ seconds: Int, microseconds: Int = 0) -> String {
    var seconds = time_t(seconds)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    return
      "\(parts.tm_year + 1900)-\(padded(Int(parts.tm_mon) + 1, 2))-\(padded(Int(parts.tm_mday), 2))T\(padded(Int(parts.tm_hour), 2)):"
      + "\(padded(Int(parts.tm_min), 2)):\(padded(Int(parts.tm_sec), 2)).\(padded(microseconds, 6))Z"
  }
}

private func padded(_ n: Int, _ width: Int) -> String {
  let digits = String(n)
  return String(repeating: "0", count: max(0, width - digits.count)) + digits
}

private struct SplitMix64: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
