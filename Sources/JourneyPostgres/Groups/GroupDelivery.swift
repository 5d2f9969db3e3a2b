public import FoundationEssentials
public import Journey
import PostgresClient

/// A group by its key.
public struct GroupKey: Hashable, Sendable {
  public var orgID: UUID
  public var source: String
  public var groupID: String

  public init(orgID: UUID, source: String, groupID: String) {
    (self.orgID, self.source, self.groupID) = (orgID, source, groupID)
  }

  func parameters(_ more: (inout PostgresParameters) -> Void = { _ in }) -> PostgresParameters {
    PostgresParameters {
      $0.uuid(orgID)
      $0.text(source)
      $0.text(groupID)
      more(&$0)
    }
  }
}

/// The result of delivering events that were kept for a group.
public struct GroupDelivery: Sendable {
  /// How many became events of a client.
  public var delivered = 0
  /// How many are kept still: their client is locked, or the database refuses them.
  public var left = 0

  public init() {}
}

/// Kept events go to a client by an ordinary commit, in which they count as if they had come in time. Only then are
/// they removed from the group. Whatever fails in between, the unique key of events keeps them from counting twice.
extension PostgresEventStore {
  private static let limit = 200
  private static let pause: Int64 = 1_000, longPause: Int64 = 3_600_000

  /// Delivers what is kept for groups whose owner or members have changed.
  func deliverDueGroups() async {
    guard groupEvents == .owner else { return }
    await sweepGroups()
    for _ in 0..<50 {
      guard let key = try? await dueGroup() else { return }
      do throws(StoreError) {
        let part = try await deliver(key)
        // If the database refuses everything, the caller's other work does not wait for all of it.
        if part.refused > 0, part.delivered == 0 { return }
      } catch {
        let pause = error.isOfTheWork ? Self.longPause : Self.pause
        guard (try? await postpone(key, pause)) != nil else { return }
      }
    }
  }

  /// Delivers what is kept for a group, if somebody gets it.
  public func deliverGroupEvents(of key: GroupKey) async throws(StoreError) -> GroupDelivery {
    guard groupEvents == .owner else { return GroupDelivery() }
    var result = GroupDelivery()
    while true {
      let part = try await deliver(key)
      result.delivered += part.delivered
      result.left = part.locked + part.failed
      if part.locked > 0 || part.delivered + part.refused == 0 { return result }
    }
  }

  private func dueGroup() async throws(StoreError) -> GroupKey? {
    try await onControl { connection in
      let found = try connection.execute(GroupStatements.due, PostgresParameters())
      guard found.rowCount > 0 else { return nil }
      return GroupKey(orgID: try found.uuid(0, 0), source: try found.text(0, 1), groupID: try found.text(0, 2))
    }
  }

  private func postpone(_ key: GroupKey, _ pause: Int64) async throws(StoreError) {
    try await onControl { connection in
      _ = try connection.execute(GroupStatements.postpone, key.parameters { $0.int8(pause) })
    }
  }

  /// What became of the oldest events of a group.
  private struct Part {
    var delivered = 0
    var locked = 0
    /// How many the database refuses: of these events, and of all that are kept for the group.
    var refused = 0, failed = 0
  }

  /// Delivers at most `limit` events.
  private func deliver(_ key: GroupKey) async throws(StoreError) -> Part {
    try await withStoreErrors {
      try await commits.perform { [self] connection in
        try contending { () throws(PostgresError) in
          let found = try connection.execute(GroupStatements.kept, key.parameters { $0.int8(Int64(Self.limit)) })
          var events: [IncomingEvent] = []
          for row in 0..<found.rowCount { events.append(try kept(found, row, of: key)) }
          var part = Part()
          var refused: [String] = []
          for (event, result) in zip(events, try commitEach(events[...], on: connection)) {
            switch result {
            case .stored, .duplicate: part.delivered += 1
            case .stateCreated, .locked: part.locked += 1
            case .rejected, nil: refused.append(event.event.sourceEventID)
            }
          }
          part.refused = refused.count
          let pause = part.locked > 0 ? Self.pause : 0
          let answers = try connection.pipeline([
            (.begin, PostgresParameters()), (GroupStatements.lockOne, key.parameters()),
            (GroupStatements.removeDelivered, key.parameters()),
            (GroupStatements.fail, key.parameters { $0.texts(refused) }),
            (GroupStatements.settle, key.parameters { $0.int8(pause) }), (.commit, PostgresParameters()),
          ])
          if answers[4].rowCount > 0 { part.failed = Int(try answers[4].int64(0, 0)) }
          return part
        }
      }
    }
  }

  /// Commits events. If the database refuses them, halves of them, so that only those wait which it refuses.
  /// - Returns: nil for an event that the database refuses.
  func commitEach(
    _ events: ArraySlice<IncomingEvent>, on connection: PostgresConnection
  ) throws(PostgresError) -> [CommitResult.Result?] {
    guard !events.isEmpty else { return [] }
    do throws(PostgresError) {
      var results: [CommitResult.Result] = []
      // Of a client without a state the first commit adds one.
      for _ in 0..<3 {
        results = try abandonedCommit(on: connection).run(EventBatch(events: Array(events))).results
        if !results.contains(where: { if case .stateCreated = $0 { true } else { false } }) { break }
      }
      return results
    } catch {
      guard StoreError(error).isOfTheWork, connection.isUsable else { throw error }
      if connection.isInTransaction { try connection.rollback() }
      guard events.count > 1 else { return [nil] }
      let middle = events.startIndex + events.count / 2
      return try commitEach(events[..<middle], on: connection) + commitEach(events[middle...], on: connection)
    }
  }

  private func kept(_ found: PostgresResult, _ row: Int, of key: GroupKey) throws(PostgresError) -> IncomingEvent {
    let metadata = try found.json(row, 6)
    let id = try found.text(row, 2), type = try found.text(row, 3)
    let stage = try found.textIfPresent(row, 4).flatMap(Stage.init(rawValue:))
    let linked = try found.texts(row, 7).compactMap(\.self)
    let minStage = try found.textIfPresent(row, 8).flatMap(Stage.init(rawValue:))
    let actor = try found.textIfPresent(row, 9).flatMap(Actor.init(rawValue:))
    let event = JourneyEvent(
      orgID: key.orgID, source: key.source, sourceEventID: id,
      client: ClientReference(id: try found.uuid(row, 0), linked: linked), type: type, stage: stage,
      minStage: minStage, actor: actor, occurredAt: Timestamp(microseconds: try found.timestamp(row, 5)),
      metadata: metadata)
    let document = try? JSONDocument(parsing: metadata)
    let signals = document.map {
      SignalReader(decider.rules.signals).signals(
        type: type, stage: stage ?? minStage, actor: actor, sourceEventID: id, metadata: $0.root)
    }
    return IncomingEvent(
      id: try found.uuid(row, 1), event: event, signals: signals ?? Signals(), isBackfill: try found.bool(row, 10))
  }
}

extension StoreError {
  /// Whether another attempt is of no use.
  fileprivate var isOfTheWork: Bool { kind == .poison || kind == .permanent }
}
