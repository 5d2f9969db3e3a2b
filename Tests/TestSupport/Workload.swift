import AMQPClient
import Foundation
import Glibc

/// A client as the host application stores it.
struct WorkloadClient: Hashable {
  var id: String
  var org: String
  /// As SQL text; nil for NULL.
  var aiScore: String?
  /// The client has no events in the last `quietDays` days.
  var quietDays: Double
  /// The event types of the client. Some clients have few, so that they lack risks however many events they have.
  var types: [String]
  /// The client's share of the events, relative to others.
  var weight: Int
}

/// An event as its source sends it.
struct WorkloadEvent: Hashable {
  var id: String
  var source: String
  var client: WorkloadClient
  var type: String
  /// Microseconds since 1970.
  var at: Int64
  var sentiment: String?
  /// A survey's answer from 0 to 10.
  var nps: Int?
  /// A JSON text or number.
  var invoice: String?
  /// Percent.
  var usage: Double?

  /// Written by the host application, which names no source and always sets the stage.
  var isHosts: Bool { source.isEmpty }

  var data: String {
    var members: [String] = []
    if let sentiment { members.append(#""sentiment":"\#(sentiment)""#) }
    if let nps { members.append(#""nps":\#(nps)"#) }
    if let invoice { members.append(#""invoiceId":\#(invoice)"#) }
    if let usage { members.append(#""usage":\#(usage)"#) }
    members.append(#""note":"Grüße, \"quoted\" \u2028 \#(id)""#)
    return "{" + members.joined(separator: ",") + "}"
  }

  var message: OutboundMessage {
    let body = """
      {"specversion":"1.0","id":"\(id)","source":"\(source)","type":"\(type)","time":"\(Self.rfc3339(at))",\
      "subject":"\(client.id)","orgid":"\(client.org)","data":\(data)}
      """
    return OutboundMessage(
      exchange: "journey.events", routingKey: "test.\(type)",
      properties: MessageProperties(contentType: "application/cloudevents+json"),
      body: Array(body.utf8))
  }

  static func rfc3339(_ microseconds: Int64) -> String {
    var seconds = time_t(microseconds / 1_000_000)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    return String(
      format: "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1,
      Int(parts.tm_mday),
      Int(parts.tm_hour),
      Int(parts.tm_min), Int(parts.tm_sec), Int(microseconds % 1_000_000))
  }
}

/// Organisations, clients, and random events of these clients.
struct Workload {
  static let types = [
    "lead_created", "lead_qualified", "contract_signed", "meeting_scheduled", "milestone_completed", "deliverable_sent",
    "invoice_sent",
    "invoice_paid", "invoice_overdue", "ticket_opened", "ticket_closed", "survey_answered", "subscription_renewed",
    "usage_high",
    "cancel_requested",
    // Not among the fifteen types that both profiles must know; each causes a risk of its own.
    "milestone_delayed", "usage_low", "usage_reported",
  ]
  private static let day: Int64 = 86_400_000_000

  var orgs: [String]
  var clients: [WorkloadClient]
  /// Each event once, in no particular order.
  var events: [WorkloadEvent]

  init(events count: Int, clients clientCount: Int = 60, orgs orgCount: Int = 4, _ random: inout SeededRandom) {
    orgs = (0..<orgCount).map { _ in random.uuid() }
    let scores = [nil, "0", "33.37", "80", "0.5", "100", "12.25", "7"]
    clients = []
    for number in 0..<clientCount {
      clients.append(
        WorkloadClient(
          id: random.uuid(), org: orgs[number % orgCount], aiScore: scores.randomElement(using: &random)!,
          quietDays: [0, 0, 0, 5, 22, 29, 31, 45].randomElement(using: &random)!,
          types: Array(
            Self.types.shuffled(using: &random).prefix(Int.random(in: 3...Self.types.count, using: &random))),
          weight: [1, 3, 10, 40, 100].randomElement(using: &random)!))
    }
    let urn = clients.flatMap { Array(repeating: $0, count: $0.weight) }
    let now = Int64(Date().timeIntervalSince1970) * 1_000_000
    var made: [WorkloadEvent] = []
    var keys: Set<[String]> = []
    while made.count < count {
      let event = Self.event(of: urn.randomElement(using: &random)!, now: now, among: made, &random)
      if keys.insert([event.client.org, event.source, event.id]).inserted { made.append(event) }
    }
    events = made
  }

  private static func event(
    of client: WorkloadClient, now: Int64, among made: [WorkloadEvent], _ random: inout SeededRandom
  )
    -> WorkloadEvent
  {
    let type = client.types.randomElement(using: &random)!
    var event = WorkloadEvent(
      id: "evt_\(String(Int.random(in: 0..<1_000_000, using: &random), radix: 36))",
      source: ["/crm/acme", "/billing/acme", "/support", "/projects/main"].randomElement(using: &random)!,
      client: client, type: type,
      at: time(of: client, now: now, &random))
    // Events with the same time, and with the same id from several sources: only the full sort order distinguishes
    // them.
    if random.chance(15),
      let other = made.suffix(400).filter({ $0.client.id == client.id }).randomElement(using: &random)
    {
      event.at = other.at
      if random.chance(30) { event.id = other.id }
    }
    if random.chance(25) {
      event.sentiment = ["negative", "negative", "positive", "neutral"].randomElement(using: &random)!
    }
    if type == "survey_answered", random.chance(60) { event.nps = Int.random(in: 0...10, using: &random) }
    if type.hasPrefix("invoice_"), random.chance(93) {
      event.invoice = [#""in_1""#, #""in_2""#, #""in_3""#, #""in_4""#, #""in_5""#, "77"].randomElement(using: &random)!
    }
    if type.hasPrefix("usage_"), random.chance(80) { event.usage = Double(Int.random(in: 0...120, using: &random)) }
    return event
  }

  private static func time(of client: WorkloadClient, now: Int64, _ random: inout SeededRandom) -> Int64 {
    let span = random.chance(50) ? 60.0 : 500.0
    let days = client.quietDays + 0.01 + Double.random(in: 0..<span, using: &random)
    let at = now - Int64(days * Double(day))
    // Whole hours make equal times frequent.
    return random.chance(30) ? at / 3_600_000_000 * 3_600_000_000 : at
  }

  /// All events in random order, some of them several times.
  func messages(duplicates percent: Int = 5, _ random: inout SeededRandom) -> [OutboundMessage] {
    var all = events
    for event in events where random.chance(percent) { all.append(event) }
    return all.shuffled(using: &random).map(\.message)
  }

  /// Inserts organisations and clients into the host application's tables.
  func seed(_ environment: TestEnvironment) async throws {
    let orgRows = orgs.map { "('\($0)', 'An organisation')" }.joined(separator: ",")
    try await environment.execute("INSERT INTO organizations (id, name) VALUES \(orgRows)")
    try await Self.seed(clients, environment)
  }

  static func seed(_ clients: [WorkloadClient], _ environment: TestEnvironment) async throws {
    let clientRows = clients.map {
      "('\($0.id)', '\($0.org)', 'Client', '\($0.id)@example.com', \($0.aiScore ?? "NULL"))"
    }
    try await environment.execute(
      "INSERT INTO contacts (id, org_id, name, email, ai_score) VALUES \(clientRows.joined(separator: ","))")
  }
}
