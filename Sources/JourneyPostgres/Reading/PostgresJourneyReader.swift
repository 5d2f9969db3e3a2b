public import FoundationEssentials
public import Journey
public import PostgresClient

/// Reads journeys from PostgreSQL. Each read is a transaction as the role `authenticated` with the caller's claims, so
/// row level security decides what the caller sees.
public struct PostgresJourneyReader: JourneyReader {
  private let pool: PostgresPool
  private let counter: MapCounter
  private let lists: KeptLists
  private let standings: StandingReader
  private let adapter: PostgresWorker

  /// - Parameters:
  ///   - pool: its connections work as `authenticated`.
  ///   - adapter: works as the adapter's role, and counts the map.
  ///   - lists: works as the adapter's role, keeps lists and reads histories; nil: `adapter` does.
  ///   - rules: for the evaluation at the time of reading.
  ///   - clockOffset: added to the database's clock; for tests and simulations.
  public init(
    pool: PostgresPool, adapter: PostgresWorker, lists: PostgresWorker? = nil, rules: DecisionRules,
    clockOffset: TimeSpan = .seconds(0)
  ) {
    self.pool = pool
    self.adapter = lists ?? adapter
    self.lists = KeptLists(worker: self.adapter)
    standings = StandingReader(rules: rules, clockOffset: clockOffset)
    counter = MapCounter(worker: adapter)
  }

  public func read(_ query: JourneyQuery, for caller: Caller) async throws(StoreError) -> [UInt8]? {
    switch query {
    case .map(let org, _), .statistics(let org, _): try await refreshMap(org, caller)
    case .highRisk(let org, let page): return try await board(.highRisk, org, page, caller)
    case .upsell(let org, let page): return try await board(.upsell, org, page, caller)
    case .client(let id):
      return try await standing(of: id, ClientSQL.client, Self.eventParameters(id, PageRequest(limit: 50)), caller)
    case .nextAction(let id):
      return try await standing(of: id, ClientSQL.nextAction, PostgresParameters { $0.uuid(id) }, caller)
    default: break
    }
    let (statement, parameters) = Self.command(query, caller)
    return try await perform(caller, statement, parameters) { result throws(PostgresError) in try result.document }
  }

  public func organizations(of caller: Caller) async throws(StoreError) -> Set<UUID> {
    try await perform(caller, ListSQL.organizations, PostgresParameters()) { result throws(PostgresError) in
      var ids: Set<UUID> = []
      for row in 0..<result.rowCount { ids.insert(try result.uuid(row, 0)) }
      return ids
    }
  }

  public func organization(ofClient client: UUID, for caller: Caller) async throws(StoreError) -> UUID? {
    try await perform(caller, ClientSQL.organization, PostgresParameters { $0.uuid(client) }) {
      result throws(PostgresError) in
      result.rowCount == 0 ? nil : try result.uuid(0, 0)
    }
  }

  public func action(_ id: UUID, for caller: Caller) async throws(StoreError) -> StandingAction? {
    try await perform(caller, ClientSQL.standingAction, PostgresParameters { $0.uuid(id) }) {
      result throws(PostgresError) in try StandingAction(result)
    }
  }

  /// Runs a statement about a client that takes the client's current evaluation (`Standing`) as its last parameter.
  private func standing(
    of client: UUID, _ statement: PostgresStatement, _ parameters: PostgresParameters, _ caller: Caller
  ) async throws(StoreError) -> [UInt8]? {
    enum Answer { case read([UInt8]?), unread(FoundClient) }
    let begin = Self.begin(caller)
    let answer: Answer = try await withStoreErrors { [pool, standings] in
      try await pool.perform { connection in
        let found = try standings.client(connection.pipeline(begin + [StandingReader.find(client)])[2])
        if let found, found.isUnread {
          _ = try connection.pipeline([(.commit, PostgresParameters())])
          return .unread(found)
        }
        let read = parameters.with(found.map(standings.standing))
        return .read(try connection.pipeline([(statement, read), (.commit, PostgresParameters())])[0].document)
      }
    }
    switch answer {
    case .read(let document): return document
    case .unread(let found):
      let standing = try await withStoreErrors { [adapter, standings] in
        try await adapter.perform { connection in
          var found = found
          try standings.read(&found, on: connection)
          return standings.standing(of: found)
        }
      }
      return try await perform(caller, statement, parameters.with(standing)) { result throws(PostgresError) in
        try result.document
      }
    }
  }

  private func board(_ sql: BoardSQL, _ org: UUID?, _ page: BoardRequest, _ caller: Caller) async throws(StoreError)
    -> [UInt8]?
  {
    let part: [UUID]
    var next: String?
    switch page.position {
    case .start:
      return try await perform(caller, sql.first, Self.boardParameters(org, page)) { result throws(PostgresError) in
        try result.jsonIfPresent(0, 0)
      }
    case .after(let shown):
      let parameters = PostgresParameters {
        $0.uuid(org)
        $0.uuids(shown)
      }
      let rest = try await perform(caller, sql.rest, parameters) { result throws(PostgresError) in
        result.isNull(0, 0) ? nil : try result.uuids(0, 0).compactMap(\.self)
      }
      guard let rest else { return nil }
      part = Array(rest.prefix(page.limit))
      if rest.count > page.limit {
        var random = SystemRandomNumberGenerator()
        let id = UUID.v7(at: SystemClock().now(), using: &random)
        try await withStoreErrors { [lists] in try await lists.keep(rest, as: id, for: caller.subject) }
        next = Self.cursor(id, page.limit)
      }
    case .kept(let id, let offset):
      let found = try await withStoreErrors { [lists] in
        try await lists.part(of: id, for: caller.subject, offset: offset, limit: page.limit)
      }
      // The same answer for a list of another user as for a missing one.
      guard let found else { return nil }
      part = found.clients
      if offset + part.count < found.count, !part.isEmpty { next = Self.cursor(id, offset + part.count) }
    }
    let parameters = PostgresParameters { [next] in
      $0.uuid(org)
      $0.uuids(part)
      $0.text(next)
    }
    return try await perform(caller, sql.items, parameters) { result throws(PostgresError) in
      try result.jsonIfPresent(0, 0)
    }
  }

  private static func cursor(_ id: UUID, _ offset: Int) -> String {
    Data(#"["kept","\#(id.text)","\#(offset)"]"#.utf8).base64EncodedString().replacing("+", with: "-").replacing(
      "/", with: "_"
    ).replacing("=", with: "")
  }

  private func refreshMap(_ org: UUID?, _ caller: Caller) async throws(StoreError) {
    let ages = try await perform(caller, MapSQL.ages, PostgresParameters { $0.uuid(org) }) {
      result throws(PostgresError) in
      var ages: [MapCounter.Age] = []
      for row in 0..<result.rowCount {
        ages.append(
          MapCounter.Age(
            orgID: try result.uuid(row, 0), isMissing: try result.bool(row, 1),
            stagesAreSlow: try result.boolIfPresent(row, 2) ?? false,
            flowsAreSlow: try result.boolIfPresent(row, 3) ?? false, stagesAreOld: try result.bool(row, 4),
            flowsAreOld: try result.bool(row, 5)))
      }
      return ages
    }
    try await withStoreErrors { [counter] in try await counter.refresh(ages) }
  }

  private func perform<Value: Sendable>(
    _ caller: Caller, _ statement: PostgresStatement, _ parameters: PostgresParameters,
    _ read: @escaping @Sendable (PostgresResult) throws(PostgresError) -> Value
  ) async throws(StoreError) -> Value {
    let commands = Self.begin(caller) + [(statement, parameters), (.commit, PostgresParameters())]
    return try await withStoreErrors { [pool] in
      try await pool.perform { connection in try read(connection.pipeline(commands)[2]) }
    }
  }

  /// Begins a transaction with the caller's claims.
  private static func begin(_ caller: Caller) -> [(PostgresStatement, PostgresParameters)] {
    let claims = PostgresParameters { $0.text(String(decoding: caller.claims, as: UTF8.self)) }
    return [(.begin, PostgresParameters()), (ReadSQL.claims, claims)]
  }

  private static func command(_ query: JourneyQuery, _ caller: Caller) -> (PostgresStatement, PostgresParameters) {
    switch query {
    case .caller: (ListSQL.caller, PostgresParameters { $0.bool(caller.isOperator) })
    case .client(let id): (ClientSQL.client, eventParameters(id, PageRequest(limit: 50)).with(nil))
    case .events(let id, let page): (ClientSQL.events, eventParameters(id, page))
    case .nextAction(let id): (ClientSQL.nextAction, PostgresParameters { $0.uuid(id) }.with(nil))
    case .highRisk(let org, let page): (BoardSQL.highRisk.first, boardParameters(org, page))
    case .upsell(let org, let page): (BoardSQL.upsell.first, boardParameters(org, page))
    case .clients(let filter, let page):
      (
        ListSQL.clients(byText: filter.text != nil, byStage: filter.stage != nil, byRisk: filter.riskLevel != nil),
        PostgresParameters {
          $0.uuid(filter.orgID)
          $0.text(filter.text.map(pattern))
          $0.text(filter.stage?.rawValue)
          $0.text(filter.riskLevel?.rawValue)
          $0.page(page, keys: 2)
        }
      )
    case .actions(let filter, let page):
      (
        ListSQL.actions(filter),
        PostgresParameters {
          $0.uuid(filter.orgID)
          $0.uuid(filter.clientID)
          $0.page(page, keys: 2)
          $0.text(filter.channel?.rawValue)
        }
      )
    case .action(let id): (ClientSQL.action, PostgresParameters { $0.uuid(id) })
    case .map(let org, let days):
      (
        MapSQL.map,
        PostgresParameters {
          $0.uuid(org); $0.int4(Int32(days))
        }
      )
    case .statistics(let org, let days):
      (
        MapSQL.statistics,
        PostgresParameters {
          $0.uuid(org); $0.int4(Int32(days))
        }
      )
    }
  }

  private static func eventParameters(_ client: UUID, _ page: PageRequest) -> PostgresParameters {
    PostgresParameters {
      $0.uuid(client)
      $0.page(page, keys: 2)
    }
  }

  private static func boardParameters(_ org: UUID?, _ page: BoardRequest) -> PostgresParameters {
    PostgresParameters {
      $0.uuid(org)
      $0.int4(Int32(clamping: page.limit))
    }
  }

  /// A LIKE pattern that matches texts containing `text`.
  private static func pattern(_ text: String) -> String {
    var pattern = "%"
    for character in text.lowercased() {
      if "%_\\".contains(character) { pattern += "\\" }
      pattern.append(character)
    }
    return pattern + "%"
  }
}

extension PostgresParameters {
  /// Adds the keys of the last row of the previous page (NULL for the first page) and the limit.
  fileprivate mutating func page(_ page: PageRequest, keys: Int) {
    for index in 0..<keys { text(page.after.flatMap { index < $0.count ? $0[index] : nil }) }
    int4(Int32(clamping: page.limit))
  }
}

extension PostgresParameters {
  fileprivate func with(_ standing: Standing?) -> PostgresParameters {
    var parameters = self
    parameters.json(standing?.json)
    return parameters
  }
}

extension PostgresResult {
  /// A JSON value; nil if there is no row.
  fileprivate var document: [UInt8]? { get throws(PostgresError) { rowCount == 0 ? nil : try jsonIfPresent(0, 0) } }
}
