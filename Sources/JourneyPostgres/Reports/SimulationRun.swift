public import FoundationEssentials
public import Journey
public import PostgresClient

/// A client for whom changed rules publish other actions.
public struct ChangedClient: Sendable {
  public var id: UUID
  public var orgID: UUID
  public var name: String?
  public var difference: SimulatedDifference
}

/// What a simulation has found so far.
public struct SimulationCounts: Sendable {
  public var clients = 0
  /// Events from the beginning of the simulation on.
  public var events = 0
  /// Actions that would have been published, by kind.
  public var current: [ActionKind: Int] = [:]
  public var changed: [ActionKind: Int] = [:]
  /// How many clients get other actions, or at other times.
  public var different = 0
  /// The first of these clients, in the order of their ids.
  public var listed: [ChangedClient] = []

  public init() {}

  fileprivate mutating func add(_ client: ClientSnapshot, _ result: SimulatedClient, limit: Int) {
    clients += 1
    events += result.events
    current.merge(result.current, uniquingKeysWith: +)
    changed.merge(result.changed, uniquingKeysWith: +)
    guard let difference = result.difference else { return }
    different += 1
    guard listed.count < limit else { return }
    listed.append(ChangedClient(id: client.id, orgID: client.orgID, name: client.name, difference: difference))
  }
}

/// Simulates changed rules on the stored events of all clients, a few clients at a time.
///
/// It only reads: each page of clients is a transaction that the server refuses to let write.
public struct SimulationRun: Sendable {
  public var orgID: UUID?
  /// How many clients with other actions are listed.
  public var limit = 20
  /// Clients per transaction.
  var clientsPerPage = 50
  /// Events of a client that are read at once. So memory does not grow with the history.
  var eventsPerPage = 500

  public init() {}

  /// - Parameters:
  ///   - worker: works as the adapter's role.
  ///   - report: called after each page.
  public func run(
    _ simulation: Simulation, on worker: PostgresWorker, report: (SimulationCounts) -> Void = { _ in }
  ) async throws -> SimulationCounts {
    var counts = SimulationCounts()
    var after = UUID.zero
    while !Task.isCancelled {
      let page = try await worker.perform { [self, after] connection in
        try connection.transaction { try read(simulation, after: after, on: connection) }
      }
      guard let last = page.last else { break }
      for (client, result) in page { counts.add(client, result, limit: limit) }
      after = last.client.id
      report(counts)
    }
    return counts
  }

  private func read(
    _ simulation: Simulation, after: UUID, on connection: PostgresConnection
  ) throws(PostgresError) -> [(client: ClientSnapshot, result: SimulatedClient)] {
    let page = PostgresParameters {
      $0.uuid(after)
      $0.uuids(orgID.map { [$0] } ?? [])
      $0.int4(Int32(clientsPerPage))
    }
    // By itself: it has to come before anything is read.
    _ = try connection.execute(SimulationStatements.readOnly)
    let found = try connection.execute(SimulationStatements.clients, page)
    var clients: [ClientSnapshot] = []
    for row in 0..<found.rowCount {
      clients.append(
        try LockedClient(found, row, from: 1).snapshot(id: try found.uuid(row, 0), under: 0).client)
    }
    guard !clients.isEmpty else { return [] }
    // The beginnings of all histories in one round trip: few are longer.
    let begin = Timestamp(microseconds: .min)
    let answers = try connection.pipeline(clients.map { command($0.id, after: (begin, UUID.zero)) })
    var results: [(client: ClientSnapshot, result: SimulatedClient)] = []
    for (client, answer) in zip(clients, answers) {
      var replay = simulation.replay(of: client)
      var answer = answer
      while true {
        var last: (at: Timestamp, id: UUID)?
        for row in 0..<answer.rowCount {
          let event = try event(answer, row, of: client)
          replay.take(event)
          last = (event.occurredAt, try answer.uuid(row, 9))
        }
        guard let last, answer.rowCount == eventsPerPage else { break }
        answer = try connection.pipeline([command(client.id, after: last)])[0]
      }
      results.append((client, replay.finish()))
    }
    return results
  }

  private func command(
    _ client: UUID, after: (at: Timestamp, id: UUID)
  ) -> (PostgresStatement, PostgresParameters) {
    (
      SimulationStatements.events,
      PostgresParameters {
        $0.uuid(client)
        $0.timestamptz(max(after.at, SimulationStatements.firstTime).microseconds)
        $0.uuid(after.id)
        $0.int4(Int32(eventsPerPage))
      }
    )
  }

  private func event(
    _ result: PostgresResult, _ row: Int, of client: ClientSnapshot
  ) throws(PostgresError) -> JourneyEvent {
    let setsStage = try result.bool(row, 4)
    return JourneyEvent(
      orgID: client.orgID, source: try result.text(row, 0), sourceEventID: try result.text(row, 1),
      client: ClientReference(id: client.id), type: try result.text(row, 2),
      stage: setsStage ? try result.textIfPresent(row, 3).flatMap { Stage(rawValue: $0) } : nil,
      minStage: try result.textIfPresent(row, 7).flatMap { Stage(rawValue: $0) },
      actor: try result.textIfPresent(row, 8).flatMap { Actor(rawValue: $0) },
      occurredAt: Timestamp(microseconds: try result.timestamp(row, 5)),
      metadata: try result.jsonIfPresent(row, 6) ?? Array("{}".utf8))
  }
}

enum SimulationStatements {
  /// The year 1: earlier events count for nothing.
  static let firstTime = Timestamp(iso8601: "0001-01-01T00:00:00Z") ?? Timestamp(microseconds: 0)

  /// One state of the database for a whole page, and no way to change it.
  static let readOnly = PostgresStatement(
    name: "read_only", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

  /// The next $3 clients with events after id $1, of the organisations $2 (empty: all).
  static let clients = PostgresStatement(
    name: "clients_to_simulate",
    """
    SELECT c.id, \(LockedClient.columns)
    FROM contacts c LEFT JOIN journey_client_state s ON s.client_id = c.id
    WHERE c.id > $1::uuid AND (cardinality($2::uuid[]) = 0 OR c.org_id = ANY($2::uuid[])) AND s.merged_into IS NULL
      AND EXISTS (SELECT FROM client_journey_events e WHERE e.client_id = c.id)
    ORDER BY c.id LIMIT $3::int4
    """)

  /// What the rules read of the metadata, which may be large.
  private static let metadata =
    "jsonb_strip_nulls(jsonb_build_object("
    + SignalReader.metadataMembers.map { "'\($0)', metadata -> '\($0)'" }.joined(separator: ", ") + "))"

  /// The next $4 events of the client $1 after the time $2 and the row $3, in the order of an index.
  static let events = PostgresStatement(
    name: "events_to_simulate",
    """
    SELECT COALESCE(source, ''), COALESCE(source_event_id, id::text), \(HostValues.text("event_type")), \(HostValues.text("stage")),
      sets_stage, occurred_at, \(metadata), min_stage, acted_by, id
    FROM client_journey_events
    WHERE client_id = $1::uuid AND voided_at IS NULL AND occurred_at >= $2::timestamptz
      AND occurred_at <= '9999-12-31' AND (occurred_at, id) > ($2::timestamptz, $3::uuid)
    ORDER BY occurred_at, id LIMIT $4::int4
    """)
}
