import AMQPClient
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyPostgres
import PostgresClient
import TestServers
import TestSupport
import Testing

@testable import JourneyAMQP

/// A source's messages, mapped by some rules, on their way into a database whose commits keep them.
struct RemapSource {
  let store: PostgresEventStore
  let decoder: InboundDecoder
  let mappings: LiveMappings
  let org: UUID

  var mapper: RawMessageReader { RawMessageReader(decoder: decoder) }

  static func mapping(_ rules: String) throws -> Mapping {
    let yaml = """
      source: crm
      version: 1
      envelope:
        id: [$.id]
        type: $.type
        time: [{path: $.at, unit: s}]
        client: {from: [$.client]}
        org: "header:x-org-id"
        metadata: $
      rules:
      \(rules)
      """
    return try MappingLoader.load(yaml: yaml, file: "crm.yaml")
  }

  /// Sends bodies, a commit for each `batch` of them.
  /// - Returns: the results by code.
  @discardableResult
  func send(_ bodies: [String], batch: Int = 20, redelivered: Bool = false) async throws -> [String: Int] {
    var codes: [String: Int] = [:]
    for start in stride(from: 0, to: bodies.count, by: batch) {
      var random = IDRandom()
      let messages = bodies[start..<min(start + batch, bodies.count)].map { message($0, redelivered, &random) }
      let ignored = messages.filter { $0.events.isEmpty && $0.rejections.isEmpty }
      if !ignored.isEmpty { try await store.keepIgnored(ignored) }
      codes["ignored", default: 0] += ignored.count
      var items = messages.flatMap { message in message.events.map { ($0, message) } }
      while !items.isEmpty {
        let result = try await store.commit(EventBatch(events: items.map(\.0), messages: items.map(\.1)))
        var again: [(IncomingEvent, InboundMessage)] = []
        for (item, outcome) in zip(items, result.results) {
          switch outcome {
          case .stored: codes["stored", default: 0] += 1
          case .duplicate: codes["duplicate", default: 0] += 1
          case .rejected(let rejection): codes[rejection.code.rawValue, default: 0] += 1
          case .locked, .stateCreated: again.append(item)
          }
        }
        items = again
      }
    }
    return codes
  }

  private func message(_ body: String, _ redelivered: Bool, _ random: inout IDRandom) -> InboundMessage {
    let delivery = Delivery(
      tag: DeliveryTag(generation: 1, value: 1), exchange: "journey.events", routingKey: "crm.x",
      isRedelivered: redelivered,
      properties: MessageProperties(
        contentType: "application/json", headers: ["x-source": "crm", "x-org-id": .string(org.uuidString)]),
      body: Array(body.utf8))
    let decoded = decoder.decode(delivery, random: &random)
    return InboundMessage(
      token: AckToken(generation: 1, tag: 1), events: decoded.events, rejections: decoded.rejections,
      delivery: delivery, origin: decoded.origin)
  }

  func remap(_ change: (inout EventRemap) -> Void = { _ in }) async throws -> EventRemap.Progress {
    var remap = EventRemap(source: "crm", author: EventChangeAuthor(run: UUID(), actor: "ann", why: "a wrong rule"))
    remap.orgID = org
    change(&remap)
    return try await remap.run(on: store, mapper: mapper)
  }

  func void(restores: Bool = false, _ change: (inout EventVoiding) -> Void) async throws -> EventVoiding.Progress {
    var selection = EventSelection()
    selection.source = "crm"
    selection.orgID = org
    var voiding = EventVoiding(
      selection, restores: restores, author: EventChangeAuthor(run: UUID(), actor: "ann", why: "test data"))
    change(&voiding)
    return try await voiding.run(on: store)
  }
}

/// A database with two organisations, whose commits keep the messages of a source.
/// - Parameter rules: the rules of each source; its organisation is new, or that of the number.
func withRemapSources(
  _ rules: [(rules: String, org: Int)], _ body: ([RemapSource], PostgresWorker) async throws -> Void
) async throws {
  let url = try await MigratedDatabase.make()
  try await withDatabase(url) { other in
    let orgs = (0...(rules.map(\.org).max() ?? 0)).map { _ in UUID() }
    for org in orgs { try await other.run("INSERT INTO organizations (id, name) VALUES ('\(org)', 'Roth')") }
    var sources: [RemapSource] = []
    for (rules, org) in rules { sources.append(try await RemapSource.open(url, rules, org: orgs[org])) }
    let result: Result<Void, any Error>
    do { result = .success(try await body(sources, other)) } catch { result = .failure(error) }
    for source in sources { await source.store.close() }
    try result.get()
  }
}

extension RemapSource {
  static func open(_ url: String, _ rules: String, org: UUID) async throws -> RemapSource {
    let mappings = LiveMappings(["crm": try mapping(rules)])
    let writer = RawMessageForm(mappings: mappings, redaction: HeaderRedaction([]))
    let decider = Decider(rules: DecisionRules()) { action in
      ActionMessage(
        id: action.id, orgID: action.orgID, routingKey: "a.b", priority: action.priority, timeToLive: action.timeToLive,
        decidedAt: action.decidedAt, causeID: action.causeID, traceparent: nil, body: [])
    }
    let store = try await PostgresEventStore.open(
      PostgresSettings(conninfo: url, role: "journey_adapter"), workers: 1, decider: decider, clock: SystemClock(),
      raw: RawBodies(writer: writer, retentionDays: 30))
    return RemapSource(
      store: store, decoder: InboundDecoder(live: mappings, signals: SignalRules(), clock: SystemClock()),
      mappings: mappings, org: org)
  }

  /// From now on the source's rules are these.
  func correct(_ rules: String) throws { mappings.replace(with: ["crm": try Self.mapping(rules)]) }
}
