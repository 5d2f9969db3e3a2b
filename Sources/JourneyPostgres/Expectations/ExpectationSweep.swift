import FoundationEssentials
import Journey
import PostgresClient

/// A row of a contract that is due.
private struct DueExpectation {
  var key: ExpectationUpdates.Key
  var row: ExpectationUpdates.Row
  /// Whether it is to be fired now.
  var isWanted: Bool
  var opening: JourneyEvent?
  /// When the opening event was stored.
  var storedAt: Timestamp?
  /// When it is looked at again, if it is not fired; nil: as the row says.
  var checkAt: Timestamp?
}

/// Stores that nothing came, by an ordinary commit, which also marks the row. Whatever fails in between, the row is
/// still due, and the unique key of events keeps the event from counting twice.
extension PostgresEventStore {
  private static let limit = 100
  /// How long a row waits whose event cannot be stored, or whose opening event is not found: the rows of its client are
  /// about to be made from the stored events.
  private static let pause = TimeSpan.hours(1)

  /// Fires the contracts that are due, and deletes rows that are not needed any more. A bounded number.
  func fireDueExpectations() async {
    for _ in 0..<20 {
      guard let looked = try? await firePart(), looked >= Self.limit else { return }
    }
  }

  /// - Returns: how many rows were looked at.
  private func firePart() async throws(StoreError) -> Int {
    let reader = decider.expectations
    let offset = clockOffset
    let frozen = Array(feeds.frozen.keys)
    let due = try await onControl { connection in
      let forget = PostgresParameters {
        $0.int8(offset.microseconds)
        $0.int4(1_000)
      }
      let claim = ExpectationStatements.claim(
        at: offset, limit: Self.limit, reader.contracts.keys.sorted(), besides: frozen)
      let claimed = try connection.pipeline([
        (ExpectationStatements.forget, forget), (ExpectationStatements.claim, claim),
      ])[1]
      var due: [DueExpectation] = []
      for row in 0..<claimed.rowCount {
        let key = ExpectationUpdates.Key(
          clientID: try claimed.uuid(row, 0), rule: try claimed.text(row, 2), key: try claimed.text(row, 3))
        guard let contract = reader.contracts[key.rule] else { continue }
        due.append(
          DueExpectation(
            key: key,
            row: ExpectationUpdates.Row(
              orgID: try claimed.uuid(row, 1), contract: contract, state: try ExpectationState(claimed, row, from: 4),
              now: Timestamp(microseconds: try claimed.timestamp(row, 8))),
            isWanted: try claimed.bool(row, 7)))
      }
      let rows = due.filter(\.isWanted)
      return (claimed.rowCount, try rows.isEmpty ? [] : Self.findOpenings(of: rows, reader, on: connection))
    }
    try await fire(due.1)
    return due.0
  }

  private static func findOpenings(
    of due: [DueExpectation], _ reader: ExpectationReader, on connection: PostgresConnection
  ) throws(PostgresError) -> [DueExpectation] {
    let found = try connection.execute(
      ExpectationStatements.openings,
      PostgresParameters {
        $0.uuids(due) { $0.key.clientID }
        $0.timestamptzs(due) { $0.row.openedAt?.microseconds }
      })
    var due = due
    for row in 0..<found.rowCount {
      let index = Int(try found.int64(row, 7)) - 1
      let (key, expected) = (due[index].key, due[index].row)
      let event = try ExpectationStatements.event(found, row, orgID: expected.orgID, clientID: key.clientID)
      let opens = reader.signs(of: event, at: expected.now).contains {
        $0.contract.otherwise == key.rule && $0.key.hasSameBytes(as: key.key) && !$0.state.openings.isEmpty
      }
      if opens, due[index].opening == nil {
        due[index].opening = event
        due[index].storedAt = try found.uuid(row, 8).timestamp
      }
    }
    return due
  }

  private func commitEach(_ events: [IncomingEvent]) async throws(StoreError) -> [CommitResult.Result?] {
    try await withStoreErrors {
      try await commits.perform { [self] connection in
        try contending { () throws(PostgresError) in try commitEach(events[...], on: connection) }
      }
    }
  }

  private func fire(_ due: [DueExpectation]) async throws(StoreError) {
    guard !due.isEmpty else { return }
    let reader = decider.expectations
    var random = IDRandom()
    var fired: [(due: DueExpectation, event: IncomingEvent)] = []
    var later: [DueExpectation] = []
    for var due in due {
      // The rows of merged clients, and those under a contract that was changed, are due at another time.
      guard let openedAt = due.row.openedAt, let dueAt = due.row.dueAt, dueAt <= due.row.now else {
        later.append(due)
        continue
      }
      guard let opening = due.opening else {
        due.checkAt = due.row.now + Self.pause
        later.append(due)
        continue
      }
      let event = reader.event(
        due.row.contract, key: due.key.key, clientID: due.key.clientID, after: (openedAt, opening))
      let signals = (try? JSONDocument(parsing: event.metadata)).map {
        SignalReader(decider.rules.signals).signals(
          type: event.type, stage: nil, actor: event.actor, sourceEventID: event.sourceEventID, metadata: $0.root)
      }
      // What was overdue when it came in is history: nobody is written to about it.
      let isBackfill = due.storedAt.map { $0 >= dueAt } ?? false
      let incoming = IncomingEvent(
        id: UUID.v7(at: clock.now(), using: &random), event: event, signals: signals ?? Signals(),
        isBackfill: isBackfill)
      fired.append((due, incoming))
    }
    for (var due, result) in zip(fired.map(\.due), try await commitEach(fired.map(\.event))) {
      switch result {
      // The commit has marked the row. What is locked is due again in a minute.
      case .stored, .stateCreated, .locked: continue
      case .duplicate, .rejected, nil:
        due.checkAt = due.row.now + Self.pause
        later.append(due)
      }
    }
    guard !later.isEmpty else { return }
    try await onControl { [later] connection in
      _ = try connection.execute(
        ExpectationStatements.reschedule,
        PostgresParameters {
          $0.uuids(later) { $0.key.clientID }
          $0.texts(later) { $0.key.rule }
          $0.texts(later) { $0.key.key }
          $0.texts(later) { $0.row.state.openingsAsArray }
          $0.timestamptzs(later) { $0.row.state.settledAt?.microseconds }
          $0.timestamptzs(later) { $0.row.state.firedFor?.microseconds }
          $0.timestamptzs(later) { $0.row.openedAt?.microseconds }
          $0.timestamptzs(later) { $0.row.dueAt?.microseconds }
          $0.timestamptzs(later) { ($0.checkAt ?? $0.row.checkAt).microseconds }
        })
    }
  }
}
