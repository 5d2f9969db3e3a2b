import AMQPClient
import DeadLetters
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyConfiguration
import JourneyPostgres
import PostgresClient

/// What became of a published message.
struct PublishedMessage {
  enum Outcome: String {
    case stored, duplicate, ignored, parked, kept
    case deadLetter = "dead_letter"
    case unknown
  }

  var name: String
  var became: Outcome
  var text: String
  var members: [(String, (any Encodable)?)] = []

  var isGood: Bool { [.stored, .duplicate, .ignored, .kept].contains(became) }
  var json: JSONObject {
    JSONObject([("message", name), ("became", became.rawValue), ("text", text)] + members)
  }
}

/// Watches what becomes of messages that are published.
///
/// Each has a header with a number of its own, by which its dead letter or its kept message is found. Its events are
/// those that the current mapping makes of it.
struct PublishWait {
  typealias Key = TraceReader.EventKey

  private struct Sent {
    var name: String
    var mark: String
    var keys: [Key] = []
    /// Under which ids it is recorded if it is parked.
    var parkedAs: [UUID] = []
    var namesOnlyGroup = false
    /// Why no event is made of it; nil: one is, or it is rejected.
    var ignored: String?
    /// Whether a part of it is rejected by the mapping.
    var isRejected = false
  }

  private static let header = "x-publish-id"
  /// Clocks of this machine and the adapter's differ.
  private static let skew = TimeSpan.seconds(300)
  /// What is stored so much later than its id was made is found by the last look alone.
  private static let overlap = TimeSpan.seconds(10)

  /// The newest that was looked at: later looks go back no further.
  private struct Seen {
    var deadLetter: UUID?
    var rawBatch: UUID?
  }

  private let run: String
  private let sent: [Sent]
  private let settings: Settings
  private let seconds: Int
  private let start = SystemClock().now()

  /// Marks the messages.
  init(_ messages: inout [OutboundMessage], _ settings: Settings, seconds: Int) async throws {
    let decoder = try await settings.decoder(try await settings.decisions())
    var random = IDRandom()
    run = UUID.v7(at: SystemClock().now(), using: &random).text
    self.settings = settings
    self.seconds = seconds
    var all: [Sent] = []
    for number in messages.indices {
      let mark = "\(run)-\(number)"
      messages[number].properties.headers[Self.header] = .string(mark)
      all.append(Self.sent(messages[number], number, mark, decoder))
    }
    sent = all
  }

  private static func sent(_ message: OutboundMessage, _ number: Int, _ mark: String, _ decoder: InboundDecoder) -> Sent
  {
    let properties = message.properties, body = message.body
    var sent = Sent(name: properties.messageID ?? "message \(number + 1)", mark: mark)
    let trace = try? decoder.trace(
      properties, body: body, bodySize: body.count, routingKey: message.routingKey)
    var owners: Set<[String]> = []
    for outcome in trace?.elements.map(\.outcome) ?? [] {
      switch outcome {
      case .event(let event):
        sent.keys.append(Key(orgID: event.orgID, source: event.source, sourceEventID: event.sourceEventID))
        sent.namesOnlyGroup = sent.namesOnlyGroup || event.client.namesOnlyGroup
        guard owners.insert([event.orgID.text, event.source]).inserted else { continue }
        sent.parkedAs.append(
          ParkedMessage.id(
            routingKey: message.routingKey, messageID: properties.messageID, body: body, orgID: event.orgID,
            source: event.source))
      case .ignored, .unlisted: sent.ignored = sent.ignored ?? DLQShow.verdict(outcome)
      case .rejected: sent.isRejected = true
      }
    }
    if trace == nil { sent.isRejected = true }
    if sent.isRejected || !sent.keys.isEmpty { sent.ignored = nil }
    if properties.messageID == nil, let first = sent.keys.first { sent.name = first.sourceEventID }
    return sent
  }

  /// The events that are stored already.
  func stored(_ worker: PostgresWorker) async throws -> Set<Key> {
    if !settings.archivesDeadLetters {
      Output.error("note: deadLetters.archive is false in these settings, so dead letters are not seen")
    }
    return Set(try await TraceReader(worker: worker, orgID: nil).events(keys: sent.flatMap(\.keys)).keys)
  }

  /// - Returns: one outcome for each message, in order; `unknown` also where the database has gone meanwhile.
  func run(_ worker: PostgresWorker, storedBefore before: Set<Key>) async throws -> [PublishedMessage] {
    var outcomes: [PublishedMessage?] = []
    var seen = before
    // What is stored already, or comes before in these files, is a duplicate whatever happens.
    for message in sent {
      let isDuplicate = !message.keys.isEmpty && !message.isRejected && message.keys.allSatisfy(seen.contains)
      seen.formUnion(message.keys)
      outcomes.append(
        isDuplicate
          ? PublishedMessage(name: message.name, became: .duplicate, text: "of an event that is stored already") : nil)
    }
    let end = ContinuousClock.now + .seconds(seconds)
    var pause = Duration.milliseconds(50)
    var lookedAt = Seen()
    var failure: String?
    while true {
      let isLast = ContinuousClock.now >= end
      do {
        failure = nil
        try await look(worker, &outcomes, &lookedAt, isLast: isLast)
      } catch  where !(error is CancellationError) {
        // The database may come back in time.
        failure = (error as? PostgresError).map { Failure($0).message } ?? "\(error)"
      }
      let open = outcomes.count { $0 == nil }
      Output.progress("\(sent.count - open) of \(sent.count) known")
      if open == 0 || isLast { break }
      try await Task.sleep(until: min(end, .now + pause))
      pause = min(.seconds(1), pause * 2)
    }
    Output.endProgress()
    guard outcomes.contains(where: { $0 == nil }) else { return outcomes.compactMap(\.self) }
    let queues = await settings.waitingMessages()
    let why = failure.map { "\($0); \(queues.text)" } ?? queues.text
    return zip(sent, outcomes).map { message, outcome in
      outcome
        ?? PublishedMessage(
          name: message.name, became: .unknown, text: "not known after \(seconds) s; \(why)")
    }
  }

  /// Looks for those whose outcome is not known.
  private func look(
    _ worker: PostgresWorker, _ outcomes: inout [PublishedMessage?], _ lookedAt: inout Seen, isLast: Bool
  ) async throws {
    let open = outcomes.indices.filter { outcomes[$0] == nil }
    guard !open.isEmpty else { return }
    let reader = TraceReader(worker: worker, orgID: nil)
    let stored = try await reader.events(keys: open.flatMap { sent[$0].keys })
    if isLast { lookedAt = Seen() }
    let found = try await deadLetters(worker, &lookedAt)
    let kept = open.contains { sent[$0].ignored != nil } && keepsIgnored ? try await keptMarks(worker, &lookedAt) : []
    let parked = try await ParkedRepository(worker: worker).find(
      [], parkedAs: open.flatMap { sent[$0].parkedAs }, orgID: nil)
    for index in open {
      let message = sent[index]
      if let deadLetter = found[message.mark] {
        outcomes[index] = Self.dead(message.name, deadLetter)
      } else if !message.keys.isEmpty, !message.isRejected, message.keys.allSatisfy({ stored[$0] != nil }) {
        outcomes[index] = Self.stored(message.name, message.keys.compactMap { stored[$0] })
      } else if let ignored = message.ignored, !keepsIgnored || kept.contains(message.mark) {
        outcomes[index] = PublishedMessage(name: message.name, became: .ignored, text: ignored)
      } else if let parked = parked.first(where: { message.parkedAs.contains($0.id) && isNew($0.parkedAt) }),
        isLast || parked.returnsAt > start + .seconds(Int64(seconds))
      {
        outcomes[index] = Self.parked(message.name, parked)
      } else if message.namesOnlyGroup, let key = message.keys.first,
        let event = try await reader.kept(key.sourceEventID).first(where: { $0.orgID == key.orgID })
      {
        outcomes[index] = PublishedMessage(
          name: message.name, became: .kept, text: "until somebody of the group \(event.groupID) gets it",
          members: [("groupId", event.groupID)])
      }
    }
  }

  private func isNew(_ time: Timestamp) -> Bool { time > start - Self.skew }
  private var keepsIgnored: Bool { settings.rawBodies.isOn && settings.rawBodies.keepsIgnored }

  private func deadLetters(
    _ worker: PostgresWorker, _ lookedAt: inout Seen
  ) async throws -> [String: ArchivedDeadLetter] {
    let repository = DeadLetterRepository(worker: worker, actor: "")
    var filter = DeadLetterFilter()
    filter.since = start - Self.skew
    var found: [String: ArchivedDeadLetter] = [:]
    let oldest = lookedAt.deadLetter?.timestamp.map { $0 - Self.overlap }, limit = oldest == nil ? 500 : 50
    var last: UUID?
    var newest: UUID?
    repeat {
      let page = try await repository.list(filter, before: last, limit: limit, withBodies: false)
      newest = newest ?? page.first?.id
      for deadLetter in page {
        if let mark = mark(in: deadLetter.deadLetter.message.headers) { found[mark] = deadLetter }
      }
      last = page.count < limit ? nil : page.last?.id
      // The order is that of the ids, which begin with their times.
      if let oldest, let time = last?.timestamp, time < oldest { last = nil }
    } while last != nil
    lookedAt.deadLetter = newest ?? lookedAt.deadLetter
    return found
  }

  /// - Parameter headers: as a dead letter has them.
  private func mark(in headers: [UInt8]) -> String? {
    guard headers.contains(Array(run.utf8)), let document = try? JSONDocument(parsing: headers) else { return nil }
    return document.root.elements.first { $0["name"]?.string == Self.header }?["value"]?.string
  }

  /// The marks of the messages of which no event was made.
  private func keptMarks(_ worker: PostgresWorker, _ lookedAt: inout Seen) async throws -> Set<String> {
    let since = lookedAt.rawBatch?.timestamp.map { $0 - Self.overlap } ?? start - Self.skew
    let search = RawSearch(worker: worker, for: Array(run.utf8), since: since, orgID: nil)
    var marks: Set<String> = []
    var last: UUID?
    var newest: UUID?
    repeat {
      let page = try await search.page(after: last)
      newest = newest ?? page.first
      for match in page.matches {
        if let mark = RawMessage(match.record)?.delivery.properties.headers[Self.header]?.stringValue {
          marks.insert(mark)
        }
      }
      last = page.last
    } while last != nil
    lookedAt.rawBatch = newest ?? lookedAt.rawBatch
    return marks
  }

  // MARK: Outcomes

  private static func stored(_ name: String, _ events: [TracedEvent]) -> PublishedMessage {
    let first = events[0]
    var text =
      "\(first.type) of client \(first.clientName.map { "\($0) " } ?? "")\(first.clientID.text), stage \(first.stage)"
    let action = events.lazy.compactMap { $0.evaluation?.action }.first
    if let action { text += "; action \(action.action) by \(action.channel)" }
    if events.count > 1 { text = "\(events.count) events; \(text)" }
    return PublishedMessage(
      name: name, became: .stored, text: text,
      members: [
        ("eventIds", events.map(\.id)), ("clientId", first.clientID), ("stage", first.stage),
        ("action", action?.action),
      ])
  }

  private static func dead(_ name: String, _ deadLetter: ArchivedDeadLetter) -> PublishedMessage {
    let reason = deadLetter.deadLetter.reason.split(separator: "\n").first ?? ""
    return PublishedMessage(
      name: name, became: .deadLetter,
      text: "\(deadLetter.deadLetter.code): \(reason.description.line(200)) (journey dlq show \(deadLetter.id.text))",
      members: [("deadLetterId", deadLetter.id), ("code", deadLetter.deadLetter.code)])
  }

  private static func parked(_ name: String, _ message: ParkedMessage) -> PublishedMessage {
    PublishedMessage(
      name: name, became: .parked,
      text: "until \(message.returnsAt.local): \(message.code ?? "postponed")",
      members: [("code", message.code), ("tier", message.tier), ("returnsAt", message.returnsAt)])
  }
}
