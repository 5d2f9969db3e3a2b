import Journey
import PostgresClient
import FoundationEssentials

/// An event's client and stage, as its row stores them.
struct EventRow {
  var clientID: UUID
  /// The merged client that the event names; nil: none.
  var originID: UUID?
  var stage: StageMarks.Stage

  /// Looks up which of the given events are stored. The answer stays valid only for events whose client is already
  /// locked.
  static func find(_ indices: [Int], _ events: [IncomingEvent]) -> (PostgresStatement, PostgresParameters) {
    (
      CommitStatements.findStored,
      PostgresParameters {
        $0.uuids(indices) { events[$0].event.orgID }
        $0.texts(indices) { events[$0].event.source }
        $0.texts(indices) { events[$0].event.sourceEventID }
      }
    )
  }

  /// Requires that merged clients are still part of the clients of their rows; both by the index of the event.
  static func requiring(_ origins: [Int: UUID], _ rows: [EventRow?]) -> (PostgresStatement, PostgresParameters) {
    requiring(origins.map { (origin: $1, client: rows[$0]?.clientID) })
  }

  /// Requires that merged clients are still part of the clients of their rows.
  static func requiring(_ named: [(origin: UUID, client: UUID?)]) -> (PostgresStatement, PostgresParameters) {
    let parameters = PostgresParameters {
      $0.uuids(named) { $0.origin }
      $0.uuids(named) { $0.client }
    }
    return (CommitStatements.requireOrigins, parameters)
  }

  /// Applies the answer to `find`.
  static func apply(_ answer: PostgresResult, of indices: [Int], into stored: inout Set<Int>) throws(PostgresError) {
    for row in 0..<answer.rowCount { stored.insert(indices[Int(try answer.int64(row, 0)) - 1]) }
  }
}

/// Events as columns, the format in which they are sent.
struct EventColumns {
  private var ids, clients, organizations, stages, types, metadata, times, sources, sourceIDs, setters, hints,
    hintTimes, minStages, actors, origins: PostgresColumn

  init(rows: Int) {
    ids = .uuids(rows)
    clients = .uuids(rows)
    organizations = .uuids(rows)
    stages = .texts(rows, size: 16)
    types = .texts(rows, size: 20)
    metadata = .jsonbs(rows, size: 160)
    times = .timestamptzs(rows)
    sources = .texts(rows, size: 16)
    sourceIDs = .texts(rows, size: 32)
    setters = .bools(rows)
    hints = .texts(rows, size: 0)
    hintTimes = .timestamptzs(rows)
    minStages = .texts(rows, size: 0)
    actors = .texts(rows, size: 0)
    origins = .uuids(rows)
  }

  mutating func add(_ incoming: IncomingEvent, _ row: EventRow) {
    ids.append(incoming.id)
    clients.append(row.clientID)
    organizations.append(incoming.event.orgID)
    stages.append(row.stage.known?.rawValue)
    types.append(incoming.event.type)
    metadata.append(incoming.event.metadata)
    times.append(microseconds: incoming.event.occurredAt.microseconds)
    sources.append(incoming.event.source)
    sourceIDs.append(incoming.event.sourceEventID)
    setters.append(incoming.event.stage != nil)
    hints.append(row.stage.hint?.stage.rawValue)
    hintTimes.append(microseconds: row.stage.hint?.stamp.at.microseconds)
    minStages.append(incoming.event.minStage?.rawValue)
    actors.append(incoming.event.actor?.rawValue)
    origins.append(row.originID)
  }

  var parameters: PostgresParameters {
    PostgresParameters {
      for column in [
        ids, clients, organizations, stages, types, metadata, times, sources, sourceIDs, setters, hints, hintTimes,
        minStages, actors, origins,
      ] { $0.column(column) }
    }
  }
}

/// The known stage-setting events of a client: the newest in its state, and those in the batch. A row that does not set
/// the stage takes its stage from them.
struct StageMarks {
  /// The stage of a row: known, or to be looked up among the stored events after the hint.
  struct Stage {
    var known: Journey.Stage?
    var hint: ClientSummary.StageMark?
  }

  private let newest: ClientSummary.StageMark?
  /// In the order of the marks.
  private var batch: [(mark: ClientSummary.StageMark, isRaise: Bool)] = []

  init(_ newest: ClientSummary.StageMark?, _ events: some Sequence<JourneyEvent>) {
    self.newest = newest
    for event in events {
      if let stage = event.stage ?? event.minStage {
        batch.append((ClientSummary.StageMark(stamp: event.stamp, stage: stage), event.stage == nil))
      }
    }
    if batch.count > 1 { batch.sort { $0.mark.precedes($1.mark) } }
  }

  func stage(of event: JourneyEvent) -> Stage {
    if let stage = event.stage { return Stage(known: stage) }
    // A late event may lie between the newest mark of the state and earlier ones, which only the table contains. The
    // statement raises what it finds there.
    if let newest, event.stamp < newest.stamp {
      return Stage(hint: batch.last { !$0.isRaise && $0.mark.stamp <= event.stamp }?.mark)
    }
    // The state covers all stored events. Without a mark in the state there is no stored event that says a stage.
    var stage = newest?.stage ?? .lead
    for (mark, isRaise) in batch where mark.stamp <= event.stamp && newest?.precedes(mark) ?? true {
      if !isRaise || stage.index < mark.stage.index { stage = mark.stage }
    }
    return Stage(known: stage)
  }
}

/// The unique keys of a batch's events. They are ordered by bytes, as in the database, so all instances use the same
/// order. They are stored contiguously, because sorting reads each several times.
struct EventKeys {
  private var bytes: [UInt8] = []
  /// Where each event's key starts, and where its source ends.
  private var spans: [(start: Int, source: Int)] = []

  init(_ events: [IncomingEvent]) {
    bytes.reserveCapacity(events.count * 64)
    spans.reserveCapacity(events.count + 1)
    for incoming in events {
      let start = bytes.count
      withUnsafeBytes(of: incoming.event.orgID.uuid) { bytes.append(contentsOf: $0) }
      bytes.append(contentsOf: incoming.event.source.utf8)
      spans.append((start, bytes.count))
      bytes.append(contentsOf: incoming.event.sourceEventID.utf8)
    }
    spans.append((bytes.count, bytes.count))
  }

  /// Indices of events ordered by key; events with the same key keep the order of the batch.
  func sorted(_ indices: [Int]) -> [Int] {
    bytes.withUnsafeBytes { bytes in
      spans.withUnsafeBufferPointer { spans in
        indices.sorted { a, b in
          let order = Self.difference(bytes, spans, a, b)
          return order < 0 || order == 0 && a < b
        }
      }
    }
  }

  func isSame(_ a: Int, _ b: Int) -> Bool {
    bytes.withUnsafeBytes { bytes in spans.withUnsafeBufferPointer { Self.difference(bytes, $0, a, b) == 0 } }
  }

  private typealias Spans = UnsafeBufferPointer<(start: Int, source: Int)>

  private static func difference(_ bytes: UnsafeRawBufferPointer, _ spans: Spans, _ a: Int, _ b: Int) -> Int {
    let first = compare(bytes, spans[a].start..<spans[a].source, spans[b].start..<spans[b].source)
    return first != 0
      ? first
      : compare(bytes, spans[a].source..<spans[a + 1].start, spans[b].source..<spans[b + 1].start)
  }

  private static func compare(_ bytes: UnsafeRawBufferPointer, _ a: Range<Int>, _ b: Range<Int>) -> Int {
    UnsafeRawBufferPointer(rebasing: bytes[a]).difference(from: UnsafeRawBufferPointer(rebasing: bytes[b]))
  }
}
