import FoundationEssentials
import Journey
import PostgresClient

/// What the events of a batch mean for the silence contracts of their clients, one row per client, contract and key.
struct ExpectationUpdates {
  struct Key: Hashable {
    var clientID: UUID
    var rule: String
    var key: String

    // Compared by bytes, as in the database.
    static func == (a: Key, b: Key) -> Bool {
      a.clientID == b.clientID && a.rule == b.rule && a.key.hasSameBytes(as: b.key)
    }
  }
  struct Row {
    var orgID: UUID
    var contract: SilenceContract
    var state: ExpectationState
    /// The moment at which the row is written.
    var now: Timestamp
  }

  private(set) var rows: [Key: Row] = [:]

  /// The events of the batch that say that nothing came: they count once it is certain that they are right.
  private var claims: [(index: Int, sign: ExpectationReader.Sign, key: Key)] = []

  mutating func record(
    _ event: JourneyEvent, isVoided: Bool = false, of client: ClientSnapshot, _ reader: ExpectationReader
  ) {
    for sign in reader.signs(of: event, isVoided: isVoided, at: client.now) { merge(sign.state, sign, client) }
  }

  /// Records a new event of the batch.
  mutating func record(
    new index: Int, _ event: JourneyEvent, of client: ClientSnapshot, _ reader: ExpectationReader
  ) {
    guard event.source == SilenceContract.source else { return record(event, of: client, reader) }
    for sign in reader.signs(of: event, at: client.now) {
      claims.append((index, sign, merge(ExpectationState(), sign, client)))
    }
  }

  @discardableResult
  private mutating func merge(
    _ state: ExpectationState, _ sign: ExpectationReader.Sign, _ client: ClientSnapshot
  ) -> Key {
    let key = Key(clientID: client.id, rule: sign.contract.otherwise, key: sign.key)
    let none = Row(orgID: client.orgID, contract: sign.contract, state: ExpectationState(), now: client.now)
    rows[key, default: none].state.merge(state, under: sign.contract)
    return key
  }

  /// Takes over what the batch says to have not come. The clients are locked and their rows read, so that nothing can
  /// come in between.
  ///
  /// - Returns: the events that are not right, or not any more: what they say to be missing has come since the sweep
  ///   looked, its opening event was taken back, or another one is the first now.
  mutating func takeClaims() -> Set<Int> {
    var wrong: Set<Int> = []
    for (index, sign, key) in claims {
      guard let opening = sign.state.firedFor else { continue }
      if rows[key]?.openedAt != opening { wrong.insert(index) }
    }
    for (index, sign, key) in claims where !wrong.contains(index) {
      rows[key]?.state.merge(sign.state, under: sign.contract)
    }
    return wrong
  }

  /// The keys whose stored rows count as well.
  func keys(besides unread: Set<UUID>) -> PostgresParameters? {
    let keys = rows.keys.filter { !unread.contains($0.clientID) }
    guard !keys.isEmpty else { return nil }
    return PostgresParameters {
      $0.uuids(keys) { $0.clientID }
      $0.texts(keys) { $0.rule }
      $0.texts(keys) { $0.key }
    }
  }

  mutating func merge(_ stored: PostgresResult) throws(PostgresError) {
    for row in 0..<stored.rowCount {
      let key = Key(
        clientID: try stored.uuid(row, 0), rule: try stored.text(row, 1), key: try stored.text(row, 2))
      guard let contract = rows[key]?.contract else { continue }
      rows[key]?.state.merge(try ExpectationState(stored, row, from: 3), under: contract)
    }
  }

  func parameters() -> PostgresParameters {
    let rows = rows.sorted { ($0.key.clientID, $0.key.rule, $0.key.key) < ($1.key.clientID, $1.key.rule, $1.key.key) }
    return PostgresParameters {
      $0.uuids(rows) { $0.key.clientID }
      $0.uuids(rows) { $0.value.orgID }
      $0.texts(rows) { $0.key.rule }
      $0.texts(rows) { $0.key.key }
      $0.texts(rows) { $0.value.state.openingsAsArray }
      $0.timestamptzs(rows) { $0.value.state.settledAt?.microseconds }
      $0.timestamptzs(rows) { $0.value.state.firedFor?.microseconds }
      $0.timestamptzs(rows) { $0.value.openedAt?.microseconds }
      $0.timestamptzs(rows) { $0.value.dueAt?.microseconds }
      $0.timestamptzs(rows) { $0.value.checkAt.microseconds }
    }
  }
}

extension ExpectationUpdates.Row {
  /// What is due already when its opening event arrives waits for what may arrive with it: a backlog is not in order.
  private static let grace = TimeSpan.hours(1)

  var openedAt: Timestamp? { state.openedAt(under: contract) }
  var dueAt: Timestamp? { openedAt.map { $0 + contract.within } }
  var checkAt: Timestamp {
    if let dueAt { return dueAt > now ? dueAt : now + Self.grace }
    return state.forgottenAt(under: contract) ?? now
  }
}

extension ExpectationState {
  static let columns = "x.openings, x.settled_at, x.fired_for"

  init(_ result: PostgresResult, _ row: Int, from column: Int) throws(PostgresError) {
    self.init(
      openings: try result.timestamps(row, column).compactMap { $0.map { Timestamp(microseconds: $0) } },
      settledAt: try result.timestampIfPresent(row, column + 1).map { Timestamp(microseconds: $0) },
      firedFor: try result.timestampIfPresent(row, column + 2).map { Timestamp(microseconds: $0) })
  }

  /// As text, because the rows of an array of arrays have one length.
  var openingsAsArray: String { "{\(openings.map(\.iso8601).joined(separator: ","))}" }
}

extension BatchCommit {
  /// Writes what new events mean for the silence contracts, and makes the rows of clients whose summary is made from
  /// their stored events. Costs nothing if no event of the batch is of a type that a contract names.
  ///
  /// - Returns: see `ExpectationUpdates.takeClaims`.
  func trackExpectations(
    _ clientBatches: [ClientBatch], _ events: [IncomingEvent]
  ) throws(PostgresError) -> Set<Int> {
    let reader = decider.expectations
    guard !reader.isEmpty else { return [] }
    var updates = ExpectationUpdates()
    for clientBatch in clientBatches {
      for index in clientBatch.events {
        updates.record(new: index, events[index].event, of: clientBatch.client, reader)
      }
    }
    let unread = clientBatches.filter(\.isUnread).map(\.client)
    let ids = Set(unread.map(\.id))
    var commands: [(PostgresStatement, PostgresParameters)] = []
    if let keys = updates.keys(besides: ids) { commands.append((ExpectationStatements.find, keys)) }
    let stored = commands.count
    if let now = unread.map(\.now).min() {
      commands += [
        (ExpectationStatements.events, ExpectationStatements.events(of: ids.sorted(), reader, at: now)),
        (ExpectationStatements.remove, ExpectationStatements.removal(of: ids.sorted(), reader)),
      ]
    }
    guard !commands.isEmpty else { return [] }
    let answers = try connection.pipeline(commands)
    if stored > 0 { try updates.merge(answers[0]) }
    if !unread.isEmpty {
      let clients = Dictionary(uniqueKeysWithValues: unread.map { ($0.id, $0) })
      for row in 0..<answers[stored].rowCount {
        guard let client = clients[try answers[stored].uuid(row, 0)] else { continue }
        let (event, isVoided) = try ExpectationStatements.event(answers[stored], row, of: client)
        updates.record(event, isVoided: isVoided, of: client, reader)
      }
    }
    let wrong = updates.takeClaims()
    if !updates.rows.isEmpty { _ = try connection.execute(ExpectationStatements.write, updates.parameters()) }
    return wrong
  }
}
