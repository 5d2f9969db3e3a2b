import FoundationEssentials
import Journey
import PostgresClient

/// Raw bodies on their way into one row of `journey_raw_batches`.
struct RawBatch {
  private let writer: any RawMessageWriter
  private var records: [UInt8] = []
  private var messages: Int32 = 0
  private var received: (from: Timestamp, until: Timestamp)?
  private var sources: Set<String> = []
  private var orgs: Set<UUID> = []
  private var lastSource: String?
  private var lastOrg: UUID?
  private var isOfAnyOrg = false
  private var eventIDs: [UUID] = []
  private var eventMessages: [Int32] = []

  private init(_ writer: any RawMessageWriter) { self.writer = writer }

  /// A message, and the ids of the rows that are made of it: nearly always one, which so needs no array of its own.
  struct Kept {
    var message: InboundMessage
    var first: UUID?
    var others: [UUID] = []

    mutating func add(_ id: UUID) { if first == nil { first = id } else { others.append(id) } }
  }

  private mutating func add(_ kept: Kept) {
    let message = kept.message
    guard let origin = message.origin else { return }
    let start = records.count
    records.append(contentsOf: [0, 0, 0, 0])
    guard writer.append(message, to: &records) else {
      records.removeLast(4)
      return
    }
    let length = UInt32(records.count - start - 4)
    for byte in 0..<4 { records[start + byte] = UInt8(truncatingIfNeeded: length >> (8 * byte)) }
    if let first = kept.first { eventIDs.append(first) }
    eventIDs += kept.others
    while eventMessages.count < eventIDs.count { eventMessages.append(messages) }
    messages += 1
    received = (
      min(received?.from ?? origin.receivedAt, origin.receivedAt),
      max(received?.until ?? origin.receivedAt, origin.receivedAt)
    )
    // Mostly one of the last message: cheaper to compare than to look up.
    add(origin.source)
    for event in message.events {
      if event.event.source != origin.source { add(event.event.source) }
      if event.event.orgID != lastOrg { orgs.insert(event.event.orgID) }
      lastOrg = event.event.orgID
    }
    if message.events.isEmpty {
      if let orgID = origin.orgID { orgs.insert(orgID) } else { isOfAnyOrg = true }
    }
  }

  private mutating func add(_ source: String) {
    if source != lastSource { sources.insert(source) }
    lastSource = source
  }

  /// - Returns: one statement; several if the bodies are large.
  static func commands(_ kept: [Kept], _ writer: any RawMessageWriter, at now: Timestamp)
    -> [(PostgresStatement, PostgresParameters)]
  {
    var random = IDRandom()
    var commands: [(PostgresStatement, PostgresParameters)] = []
    var raw = RawBatch(writer)
    // Once for all: to grow message by message would copy the buffer each time.
    raw.records.reserveCapacity(
      min(maxBytes, kept.reduce(0) { $0 + ($1.message.origin?.bytes ?? 0) + overheadBytes }))
    for message in kept {
      raw.add(message)
      guard raw.records.count >= maxBytes else { continue }
      commands.append(raw.command(id: UUID.v7(at: now, using: &random)))
      raw = RawBatch(writer)
    }
    if raw.messages > 0 { commands.append(raw.command(id: UUID.v7(at: now, using: &random))) }
    return commands
  }

  /// What a row holds at most, besides the last message: a remap reads a row as a whole.
  private static let maxBytes = 8 << 20
  /// What a message takes besides its body, at a guess.
  private static let overheadBytes = 384

  /// A row of one record that is empty, to check whether rows can be inserted.
  static var empty: (PostgresStatement, PostgresParameters) {
    let start = Int64(0)
    return (
      RawStatements.insert,
      PostgresParameters {
        $0.uuid(UUID())
        $0.timestamptz(start)
        $0.timestamptz(start)
        $0.texts([String]())
        $0.uuids([UUID]())
        $0.bool(true)
        $0.int4(1)
        $0.bytea([0, 0, 0, 0])
        $0.uuids([UUID]())
        $0.int4s([Int32]())
      }
    )
  }

  private func command(id: UUID) -> (PostgresStatement, PostgresParameters) {
    (
      RawStatements.insert,
      PostgresParameters {
        $0.uuid(id)
        $0.timestamptz(received?.from.microseconds)
        $0.timestamptz(received?.until.microseconds)
        $0.texts(Array(sources))
        $0.uuids(Array(orgs))
        $0.bool(isOfAnyOrg)
        $0.int4(messages)
        $0.bytea(records)
        $0.uuids(eventIDs)
        $0.int4s(eventMessages)
      }
    )
  }
}

extension BatchCommit {
  /// The messages of a batch in which something is stored, or that are no repetition: other rules may find other events
  /// in them.
  func rawBatch(of batch: EventBatch, _ results: [CommitResult.Result]) -> [(PostgresStatement, PostgresParameters)] {
    guard let writer = raw?.writer, batch.messages.count == batch.events.count else { return [] }
    var kept: [RawBatch.Kept] = []
    kept.reserveCapacity(batch.messages.count)
    var positions: [ObjectIdentifier: Int] = [:]
    for (index, message) in batch.messages.enumerated() {
      let isStored = results[index].isStored
      guard isStored || isDuplicate(results[index]) && message.origin?.isRepeated == false else { continue }
      // Only a message of several events can come twice.
      let known = message.events.count > 1 ? positions[ObjectIdentifier(message)] : nil
      let position = known ?? kept.count
      if known == nil { kept.append(RawBatch.Kept(message: message)) }
      if message.events.count > 1 { positions[ObjectIdentifier(message)] = position }
      if isStored { kept[position].add(batch.events[index].id) }
    }
    return RawBatch.commands(kept, writer, at: clock.now())
  }

  private func isDuplicate(_ result: CommitResult.Result) -> Bool {
    if case .duplicate = result { true } else { false }
  }
}
