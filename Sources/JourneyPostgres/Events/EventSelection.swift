public import FoundationEssentials
public import Journey
public import PostgresClient

/// Which stored events a command is about.
public struct EventSelection: Sendable {
  public var source: String?
  public var type: String?
  /// When the adapter stored the events.
  public var since: Timestamp?
  public var until: Timestamp?
  public var orgID: UUID?
  public var clientID: UUID?
  /// Ids of rows, or the source's ids of events.
  public var ids: [String] = []
  /// A row of `journey_event_changes`: the events that it voided.
  public var changeID: Int64?
  /// nil: voided or not.
  public var isVoided: Bool?

  public init() {}

  /// The conditions in use, on `e` (client_journey_events), with parameters from `$1` on.
  func conditions(_ parameters: inout PostgresParameters) -> String {
    var conditions = ["e.source IS NOT NULL"]
    func next() -> Int { parameters.count + 1 }
    if let source {
      conditions.append("e.source = $\(next())::text")
      parameters.text(source)
    }
    if let type {
      conditions.append("\(HostValues.text("e.event_type")) = $\(next())::text")
      parameters.text(type)
    }
    if let since {
      conditions.append("e.ingested_at >= $\(next())::timestamptz")
      parameters.timestamptz(since.microseconds)
    }
    if let until {
      conditions.append("e.ingested_at < $\(next())::timestamptz")
      parameters.timestamptz(until.microseconds)
    }
    if let orgID {
      conditions.append("e.org_id = $\(next())::uuid")
      parameters.uuid(orgID)
    }
    if let clientID {
      conditions.append("e.client_id = $\(next())::uuid")
      parameters.uuid(clientID)
    }
    if !ids.isEmpty {
      conditions.append("(e.id = ANY($\(next())::uuid[]) OR e.source_event_id = ANY($\(next() + 1)::text[]))")
      parameters.uuids(ids.compactMap { UUID(uuidString: $0) })
      parameters.texts(ids)
    }
    if let changeID {
      conditions.append("e.voided_by = $\(next())::int8")
      parameters.int8(changeID)
    }
    if let isVoided { conditions.append("e.voided_at IS \(isVoided ? "NOT " : "")NULL") }
    return conditions.joined(separator: " AND ")
  }
}

/// Events of one source and type, for the display.
public struct EventGroup: Sendable {
  public var source: String
  public var type: String
  public var events: Int
  public var clients: Int
  public var first: Timestamp
  public var last: Timestamp
}

public struct ListedEvent: Sendable {
  public var id: UUID
  public var clientID: UUID
  public var orgID: UUID
  public var source: String
  public var sourceEventID: String
  public var type: String
  public var stage: String?
  public var occurredAt: Timestamp
  public var storedAt: Timestamp?
  public var voidedAt: Timestamp?
  public var voidedBy: Int64?
}

/// Reads stored events for `journey events`.
public struct EventReader: Sendable {
  private let worker: PostgresWorker

  public init(worker: PostgresWorker) { self.worker = worker }

  /// - Parameter after: the last event of the page before.
  public func list(_ selection: EventSelection, after: UUID?, limit: Int) async throws -> [ListedEvent] {
    var parameters = PostgresParameters()
    var conditions = selection.conditions(&parameters)
    if let after {
      conditions += " AND e.id < $\(parameters.count + 1)::uuid"
      parameters.uuid(after)
    }
    let sql = """
      SELECT e.id, e.client_id, e.org_id, e.source, e.source_event_id, \(HostValues.text("e.event_type")),
        CASE WHEN e.sets_stage THEN \(HostValues.text("e.stage")) END, e.occurred_at, e.ingested_at, e.voided_at, e.voided_by
      FROM client_journey_events e WHERE \(conditions) ORDER BY e.id DESC LIMIT \(limit)
      """
    return try await worker.perform { [parameters] connection in
      let found = try connection.execute(PostgresStatement(selecting: "list_events", sql), parameters)
      return try (0..<found.rowCount).map { row in
        ListedEvent(
          id: try found.uuid(row, 0), clientID: try found.uuid(row, 1), orgID: try found.uuid(row, 2),
          source: try found.text(row, 3), sourceEventID: try found.text(row, 4), type: try found.text(row, 5),
          stage: try found.textIfPresent(row, 6), occurredAt: Timestamp(microseconds: try found.timestamp(row, 7)),
          storedAt: try found.timestampIfPresent(row, 8).map { Timestamp(microseconds: $0) },
          voidedAt: try found.timestampIfPresent(row, 9).map { Timestamp(microseconds: $0) },
          voidedBy: try found.isNull(row, 10) ? nil : found.int64(row, 10))
      }
    }
  }

  /// What a change of these events would concern, by source and type.
  public func groups(_ selection: EventSelection) async throws -> [EventGroup] {
    var parameters = PostgresParameters()
    let sql = """
      SELECT e.source, \(HostValues.text("e.event_type")), count(*), count(DISTINCT e.client_id), min(e.occurred_at), max(e.occurred_at)
      FROM client_journey_events e WHERE \(selection.conditions(&parameters)) GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
      """
    return try await worker.perform { [parameters] connection in
      let found = try connection.execute(PostgresStatement(selecting: "group_events", sql), parameters)
      return try (0..<found.rowCount).map { row in
        EventGroup(
          source: try found.text(row, 0), type: try found.text(row, 1), events: Int(try found.int64(row, 2)),
          clients: Int(try found.int64(row, 3)), first: Timestamp(microseconds: try found.timestamp(row, 4)),
          last: Timestamp(microseconds: try found.timestamp(row, 5)))
      }
    }
  }
}

extension PostgresStatement {
  /// A statement whose text depends on the selection, and so does its name.
  init(selecting name: String, _ sql: String) {
    let hash = sql.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    self.init(name: "\(name)_\(String(hash, radix: 16))", sql)
  }
}
