import TestSupport
import Dispatch
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyPostgres
import PostgresClient
import Synchronization
import TestServers
import Testing

enum CommitFixture {
  static let org = UUID()
  static let clients = [UUID(), UUID()]
}

/// A database with an organisation and two clients, for commits beside other transactions.
protocol CommitTesting {}

extension CommitTesting {
  static var org: UUID { CommitFixture.org }
  static var clients: [UUID] { CommitFixture.clients }

  /// An event that sets a stage.
  func moved(
    _ id: String, to stage: Stage, of client: Int = 0, hoursAgo: Int64 = 0, isBackfill: Bool = false
  ) -> IncomingEvent {
    var random = IDRandom()
    let now = SystemClock().now()
    let event = JourneyEvent(
      orgID: Self.org, source: "crm", sourceEventID: id, client: ClientReference(id: Self.clients[client]),
      type: "moved", stage: stage, occurredAt: now + .hours(-hoursAgo), metadata: Array("{}".utf8))
    return IncomingEvent(
      id: UUID.v7(at: now, using: &random), event: event, signals: Self.signals(of: event), isBackfill: isBackfill)
  }

  /// A database with two clients, an event store, and a connection for conflicting transactions.
  /// - Parameter url: a database that is not migrated yet; nil: a new one.
  func withStore(
    clock: any WallClock = SystemClock(), in url: String? = nil,
    _ body: (PostgresEventStore, PostgresWorker) async throws -> Void
  ) async throws {
    try await withStores(clock: clock, in: url) { try await body($0[0], $1) }
  }

  /// The same with several event stores on one database, each with its own clock offset.
  /// - Parameter offsets: how far the clocks are from now.
  func withStores(
    clock: any WallClock = SystemClock(), in url: String? = nil, at offsets: [TimeSpan] = [.seconds(0)],
    rules: DecisionRules = DecisionRules(), followsChanges: Bool = false,
    _ body: ([PostgresEventStore], PostgresWorker) async throws -> Void
  ) async throws {
    try await withStores(
      clock: clock, in: url, at: offsets, rules: offsets.map { _ in rules }, followsChanges: followsChanges, body)
  }

  /// The same, each with rules of its own.
  func withStores(
    clock: any WallClock = SystemClock(), in url: String? = nil, at offsets: [TimeSpan]? = nil, rules: [DecisionRules],
    groupEvents: GroupEvents = .owner, raw: RawBodies? = nil, followsChanges: Bool = false,
    _ body: ([PostgresEventStore], PostgresWorker) async throws -> Void
  ) async throws {
    let isMade = url == nil
    let url = if let url { url } else { try await MigratedDatabase.make() }
    try await withDatabase(url) { other in
      if !isMade { try await other.migrate() }
      try await other.run("INSERT INTO organizations (id, name) VALUES ('\(Self.org)', 'Roth')")
      for client in Self.clients {
        try await other.run("INSERT INTO contacts (id, org_id, name) VALUES ('\(client)', '\(Self.org)', 'Ada')")
      }
      let settings = try PostgresSettings(conninfo: url, role: "journey_adapter")
      var stores: [PostgresEventStore] = []
      for (rules, offset) in zip(rules, offsets ?? rules.map { _ in .seconds(0) }) {
        stores.append(
          try await PostgresEventStore.open(
            settings, workers: 2, decider: Self.decider(rules, followsChanges: followsChanges),
            groupEvents: groupEvents, clock: clock, raw: raw,
            clockOffset: offset))
      }
      let result: Result<Void, any Error>
      do { result = .success(try await body(stores, other)) } catch { result = .failure(error) }
      for store in stores { await store.close() }
      try result.get()
    }
  }

  static func decider(_ rules: DecisionRules, followsChanges: Bool = false) -> Decider {
    Decider(
      rules: rules,
      revocation: { revoked in
        ActionMessage(
          id: revoked.id, orgID: revoked.orgID, routingKey: "a.b", priority: revoked.priority, timeToLive: nil,
          decidedAt: revoked.at,
          causeID: "", traceparent: nil, body: Array("\(revoked.state.rawValue): \(revoked.reason ?? "")".utf8))
      },
      change: ClientChangedEvent.message, followsChanges: followsChanges
    ) { action in
      ActionMessage(
        id: action.id, orgID: action.orgID, routingKey: "a.b", priority: action.priority, timeToLive: action.timeToLive,
        decidedAt: action.decidedAt,
        causeID: action.causeID, traceparent: nil,
        body: Array(
          "\(action.score) \(action.level.rawValue) \(String(decoding: action.recommended, as: UTF8.self))".utf8))
    }
  }

  func event(_ id: String, of client: Int = 0) -> IncomingEvent {
    event(id, of: ClientReference(id: Self.clients[client]))
  }

  func event(_ id: String, of client: ClientReference, org: UUID = CommitFixture.org) -> IncomingEvent {
    var random = IDRandom()
    let now = SystemClock().now()
    let event = JourneyEvent(
      orgID: org, source: "crm", sourceEventID: id, client: client, type: "message_received", stage: .billing,
      occurredAt: now,
      metadata: Array("{}".utf8))
    return IncomingEvent(id: UUID.v7(at: now, using: &random), event: event, signals: Self.signals(of: event))
  }

  /// The signals as a decoder reads them.
  static func signals(of event: JourneyEvent) -> Signals {
    guard let metadata = (try? JSONDocument(parsing: event.metadata))?.root else { return Signals() }
    return SignalReader(SignalRules()).signals(
      type: event.type, stage: event.stage ?? event.minStage, actor: event.actor, sourceEventID: event.sourceEventID,
      metadata: metadata)
  }

  func expect(_ result: CommitResult, _ wanted: [String], sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(codes(result) == wanted, sourceLocation: sourceLocation)
  }

  func codes(_ result: CommitResult) -> [String] {
    result.results.map { result in
      switch result {
      case .stored: "stored"
      case .duplicate: "duplicate"
      case .locked: "deferred"
      case .stateCreated: "met"
      case .rejected(let rejection): rejection.code.rawValue
      }
    }
  }

  /// Runs `body` while another transaction has executed a statement. It commits once a session waits for its locks.
  func withTransaction(_ statement: String, on other: PostgresWorker, _ body: () async throws -> Void) async throws {
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    async let transaction: Void = other.perform { connection in
      defer { start.finish() }
      try connection.execute("BEGIN")
      try connection.execute(statement)
      start.finish()
      try connection.execute(
        """
        DO $$ BEGIN
          WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))) LOOP PERFORM pg_sleep(0.01); END LOOP;
        END $$
        """)
      try connection.execute("COMMIT")
    }
    for await _ in started {}
    try await body()
    try await transaction
  }

  /// Runs `body` while another transaction has executed a statement and stays open.
  func withOpenTransaction(_ statement: String, on other: PostgresWorker, _ body: () async throws -> Void) async throws
  {
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    let gate = DispatchSemaphore(value: 0)
    async let transaction: Void = other.perform { connection in
      defer { start.finish() }
      try connection.execute("BEGIN")
      try connection.execute(statement)
      start.finish()
      gate.wait()
      try connection.execute("COMMIT")
    }
    for await _ in started {}
    let result: Result<Void, any Error>
    do { result = .success(try await body()) } catch { result = .failure(error) }
    gate.signal()
    try await transaction
    try result.get()
  }
}

extension PostgresEventStore {
  /// Commits events, and commits those of new clients again, as a worker does.
  func commitAll(_ events: [IncomingEvent], published: [UUID] = []) async throws(StoreError) -> CommitResult {
    var result = try await commit(EventBatch(events: events, published: published))
    let again = result.results.indices.filter { if case .stateCreated = result.results[$0] { true } else { false } }
    guard !again.isEmpty else { return result }
    let rest = try await commitAll(again.map { events[$0] })
    for (index, outcome) in zip(again, rest.results) { result.results[index] = outcome }
    let actions = [result.outbox, rest.outbox].compactMap(\.self)
    result.outbox = actions.last.map { OutboxBatch(id: $0.id, actions: actions.flatMap(\.actions)) }
    return result
  }
}

/// A clock that stands still until it is moved.
final class MovableClock: WallClock {
  private let time = Mutex(SystemClock().now())

  func now() -> Timestamp { time.withLock(\.self) }
  func advance(by span: TimeSpan) { time.withLock { $0 = $0 + span } }
}
