public import FoundationEssentials
import Journey
public import PostgresClient

/// Finds out what became of an event, for people. It is not part of event processing.
public struct TraceReader: Sendable {
  /// What identifies an event at its source.
  public struct EventKey: Hashable, Sendable {
    public var orgID: UUID
    public var source: String
    public var sourceEventID: String

    public init(orgID: UUID, source: String, sourceEventID: String) {
      self.orgID = orgID
      self.source = source
      self.sourceEventID = sourceEventID
    }
  }

  private let worker: PostgresWorker
  private let orgID: UUID?

  /// - Parameters:
  ///   - worker: works as the adapter's role.
  ///   - orgID: nothing of another organisation is found; nil: of any.
  public init(worker: PostgresWorker, orgID: UUID?) {
    self.worker = worker
    self.orgID = orgID
  }

  /// Events by the id of their row or the source's id, at most 20.
  public func events(_ text: String) async throws -> [TracedEvent] {
    try await events(
      TraceStatements.ids,
      PostgresParameters {
        $0.uuid(orgID)
        $0.text(text)
        $0.uuid(UUID(uuidString: text))
      })
  }

  /// The newest events of a client.
  public func events(ofClient client: UUID, limit: Int) async throws -> [TracedEvent] {
    try await events(
      TraceStatements.idsOfClient,
      PostgresParameters {
        $0.uuid(orgID)
        $0.uuid(client)
        $0.int4(Int32(limit))
      })
  }

  /// The events that are stored under some of the keys.
  public func events(keys: [EventKey]) async throws -> [EventKey: TracedEvent] {
    let keys = keys.filter { orgID == nil || $0.orgID == orgID }
    guard !keys.isEmpty else { return [:] }
    let found = try await events(
      TraceStatements.idsOfKeys,
      PostgresParameters {
        $0.uuids(keys) { $0.orgID }
        $0.texts(keys) { $0.source }
        $0.texts(keys) { $0.sourceEventID }
      }, column: 1)
    return Dictionary(found.compactMap { event in event.key.map { ($0, event) } }) { first, _ in first }
  }

  public func events(ids: [UUID]) async throws -> [TracedEvent] {
    try await worker.perform { [orgID] connection in
      try Self.events(ids, connection).filter { orgID == nil || $0.orgID == orgID }
    }
  }

  private func events(
    _ statement: PostgresStatement, _ parameters: PostgresParameters, column: Int = 0
  ) async throws -> [TracedEvent] {
    try await worker.perform { connection in
      let found = try connection.execute(statement, parameters)
      return try Self.events(try (0..<found.rowCount).map { try found.uuid($0, column) }, connection)
    }
  }

  private static func events(_ ids: [UUID], _ connection: PostgresConnection) throws -> [TracedEvent] {
    guard !ids.isEmpty else { return [] }
    let found = try connection.execute(TraceStatements.events, PostgresParameters { $0.uuids(ids) })
    return try (0..<found.rowCount).map { row in
      var event = TracedEvent(
        id: try found.uuid(row, 0), orgID: try found.uuid(row, 1), source: try found.textIfPresent(row, 2),
        sourceEventID: try found.textIfPresent(row, 3), type: try found.text(row, 4), stage: try found.text(row, 5),
        setsStage: try found.bool(row, 6), occurredAt: Timestamp(microseconds: try found.timestamp(row, 7)),
        storedAt: try time(found, row, 8), voidedAt: try time(found, row, 9), clientID: try found.uuid(row, 10),
        clientName: try found.textIfPresent(row, 11))
      event.evaluation = try evaluation(
        found, row, from: 12, orgID: event.orgID, clientID: event.clientID, clientName: event.clientName)
      return event
    }
  }

  /// An evaluation by its id, which is also the id of its action.
  public func evaluation(_ id: UUID) async throws -> TracedEvaluation? {
    try await worker.perform { [orgID] connection in
      let found = try connection.execute(
        TraceStatements.evaluation,
        PostgresParameters {
          $0.uuid(orgID)
          $0.uuid(id)
        })
      guard found.rowCount == 1 else { return nil }
      return try Self.evaluation(
        found, 0, from: 3, orgID: try found.uuid(0, 0), clientID: try found.uuid(0, 1),
        clientName: try found.textIfPresent(0, 2))
    }
  }

  /// Events that are kept for a group, by the source's id, at most 20.
  public func kept(_ text: String) async throws -> [KeptGroupEvent] {
    try await worker.perform { [orgID] connection in
      let found = try connection.execute(
        TraceStatements.kept,
        PostgresParameters {
          $0.uuid(orgID)
          $0.text(text)
        })
      return try (0..<found.rowCount).map { row in
        KeptGroupEvent(
          id: try found.uuid(row, 0), orgID: try found.uuid(row, 1), source: try found.text(row, 2),
          sourceEventID: try found.text(row, 3), groupID: try found.text(row, 4), type: try found.text(row, 5),
          occurredAt: Timestamp(microseconds: try found.timestamp(row, 6)),
          keptAt: Timestamp(microseconds: try found.timestamp(row, 7)), failedAt: try Self.time(found, row, 8))
      }
    }
  }

  private static func time(_ found: PostgresResult, _ row: Int, _ column: Int) throws(PostgresError) -> Timestamp? {
    try found.timestampIfPresent(row, column).map { Timestamp(microseconds: $0) }
  }

  private static func evaluation(
    _ found: PostgresResult, _ row: Int, from column: Int, orgID: UUID, clientID: UUID, clientName: String?
  ) throws(PostgresError) -> TracedEvaluation? {
    guard let id = try found.uuidIfPresent(row, column) else { return nil }
    var evaluation = TracedEvaluation(
      id: id, orgID: orgID, clientID: clientID, clientName: clientName,
      eventID: try found.uuidIfPresent(row, column + 1),
      at: Timestamp(microseconds: try found.timestamp(row, column + 2)),
      stage: try found.textIfPresent(row, column + 3), score: try found.doubleIfPresent(row, column + 4),
      riskLevel: try found.text(row, column + 5))
    guard let action = try found.textIfPresent(row, column + 6) else { return evaluation }
    let progress: TracedAction.Progress
    if !(try found.bool(row, column + 12)) {
      progress = .published(try found.uuid(row, column + 11).timestamp ?? evaluation.at)
    } else if let confirmed = try time(found, row, column + 13) {
      progress = .published(confirmed)
    } else if let failure = try found.textIfPresent(row, column + 15) {
      progress = .failed(failure, again: try time(found, row, column + 16))
    } else {
      progress = try found.bool(row, column + 17) ? .underWay : .abandoned
    }
    evaluation.action = TracedAction(
      action: action, channel: try found.textIfPresent(row, column + 7) ?? "",
      priority: try found.textIfPresent(row, column + 8) ?? "", reason: try found.textIfPresent(row, column + 9) ?? "",
      expiresAt: try time(found, row, column + 10), attempts: Int(try found.int32IfPresent(row, column + 14) ?? 0),
      progress: progress)
    return evaluation
  }
}

extension TracedEvent {
  /// nil: the host application wrote the event.
  public var key: TraceReader.EventKey? {
    guard let source, let sourceEventID else { return nil }
    return TraceReader.EventKey(orgID: orgID, source: source, sourceEventID: sourceEventID)
  }
}
