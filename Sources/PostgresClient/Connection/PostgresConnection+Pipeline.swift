import ConnectionThreads
import CLibPQ

extension PostgresConnection {
  /// Executes one statement in one round trip, which also prepares it if necessary.
  @discardableResult
  public func execute(
    _ statement: PostgresStatement, _ parameters: PostgresParameters = PostgresParameters(), file: String = #fileID,
    line: Int = #line
  ) throws(PostgresError) -> PostgresResult {
    try pipeline([(statement, parameters)], file: file, line: line)[0]
  }

  /// Executes statements in order, in one round trip.
  ///
  /// Outside a transaction, the pipeline is a transaction of its own, with `PostgresSettings.role` if set. When a
  /// statement fails, those before it are rolled back and those after it are skipped. `.begin` at the start and
  /// `.commit` at the end let a transaction span several pipelines without further round trips. If a pipeline with
  /// either of them fails, no transaction stays open.
  ///
  /// With `PostgresSettings.plansByIndexes`, a few pipelines of a connection take another round trip that renews the
  /// plans. When the server no longer knows a statement and no transaction was open, the statement is prepared again
  /// and the pipeline repeated once.
  /// - Returns: one result for each command.
  /// - Throws: the error of the first command that failed, naming it.
  @discardableResult
  public func pipeline(
    _ commands: [(PostgresStatement, PostgresParameters)], file: String = #fileID, line: Int = #line
  ) throws(PostgresError) -> [PostgresResult] {
    let site = CallSite(file: file, line: line)
    let wasInTransaction = isInTransaction
    try requireUsable("pipeline", site)
    guard let takeOnRole, !wasInTransaction, !commands.isEmpty else {
      return try run(commands, wasInTransaction: wasInTransaction, site)
    }
    let role = (takeOnRole, PostgresParameters())
    if commands[0].0 == .begin {
      var results = try run([commands[0], role] + commands.dropFirst(), wasInTransaction: false, site)
      results.remove(at: 1)
      return results
    }
    let results = try run(
      [(.begin, PostgresParameters()), role] + commands + [(.commit, PostgresParameters())], wasInTransaction: false,
      site)
    return Array(results[2..<(results.count - 1)])
  }

  private func run(
    _ commands: [(PostgresStatement, PostgresParameters)], wasInTransaction: Bool, _ site: CallSite
  ) throws(PostgresError) -> [PostgresResult] {
    try check(commands, site)
    do throws(PostgresError) {
      return try attempt(commands, site)
    } catch {
      guard error.kind == .reprepare, !wasInTransaction, isUsable, !isInTransaction else { throw error }
      return try attempt(commands, site)
    }
  }

  private func attempt(
    _ commands: [(PostgresStatement, PostgresParameters)], _ site: CallSite
  ) throws(PostgresError) -> [PostgresResult] {
    try forgetStaleStatements(site)
    try renewPlans(site)
    var run = PipelineRun(connection: self, commands: commands, site: site)
    do throws(PostgresError) {
      return try run.results()
    } catch {
      if isUsable, isInTransaction, commands.contains(where: { $0.0 == .begin || $0.0 == .commit }) {
        abandonTransaction()
      }
      throw error
    }
  }

  private func forgetStaleStatements(_ site: CallSite) throws(PostgresError) {
    guard hasStaleStatements, !isInTransaction else { return }
    _ = try simpleQuery("DEALLOCATE ALL", operation: "deallocate", site: site)
    prepared.removeAll(keepingCapacity: true)
    hasStaleStatements = false
  }

  /// Rejects misuse that would otherwise fail with an unclear error or commit nothing.
  private func check(_ commands: [(PostgresStatement, PostgresParameters)], _ site: CallSite) throws(PostgresError) {
    var isOpen = isInTransaction
    var known = prepared
    for (statement, parameters) in commands {
      var complaint: String?
      if statement == .begin {
        if isOpen { complaint = "BEGIN inside a transaction" }
        isOpen = true
      } else if statement == .commit {
        if !isOpen { complaint = "COMMIT outside a transaction" }
        isOpen = false
      }
      let types = parameters.slots.map(\.oid)
      if let earlier = known[statement.name] {
        if earlier.sql != statement.sql { complaint = "the statement's name stands for other SQL already" }
        if earlier.types != types { complaint = "the statement was prepared with parameters of other types" }
      } else {
        known[statement.name] = PreparedStatement(sql: statement.sql, types: types)
      }
      if parameters.count > 65_535 { complaint = "more than 65,535 parameters" }
      if let complaint {
        throw PostgresError(.permanent, operation: statement.name, complaint, file: site.file, line: site.line)
      }
    }
  }
}

/// One pipeline, from the first byte sent to the last reply read.
private struct PipelineRun {
  private struct Step {
    var command: Int
    var prepares: Bool
  }

  private let connection: PostgresConnection
  private let commands: [(PostgresStatement, PostgresParameters)]
  private let site: CallSite
  private let until: MonotonicInstant?
  private var steps: [Step] = []
  private var found: [PostgresResult] = []
  private var problem: PostgresError?
  private var commitInFlight = false

  private var libpq: LibpqConnection { connection.libpq }

  init(connection: PostgresConnection, commands: [(PostgresStatement, PostgresParameters)], site: CallSite) {
    self.connection = connection
    self.commands = commands
    self.site = site
    until = connection.roundTripLimit()
    steps.reserveCapacity(commands.count + 4)
    found.reserveCapacity(commands.count)
  }

  mutating func results() throws(PostgresError) -> [PostgresResult] {
    if commands.isEmpty { return [] }
    guard PQenterPipelineMode(libpq.pointer) == 1 else { throw connection.failure(libpq.lost(), "pipeline", site) }
    do throws(LibpqFailure) {
      try send()
      try libpq.flush(until: until)
      for step in steps {
        try receive(step)
        if libpq.isBroken { break }
      }
      if !libpq.isBroken { try receiveSync() }
    } catch {
      let failed = connection.failure(error, operationInFlight, site, commitInFlight: commitInFlight)
      throw problem ?? failed
    }
    if let problem { throw problem }
    return found
  }

  /// The server may buffer replies until the end of the pipeline, so any statement without a reply may be the one.
  private var operationInFlight: String {
    let names = commands.dropFirst(found.count).map(\.0.name)
    return names.isEmpty ? "pipeline" : names.prefix(6).joined(separator: ", ") + (names.count > 6 ? ", …" : "")
  }

  private mutating func send() throws(LibpqFailure) {
    var pending: Set<String> = []
    for (index, (statement, parameters)) in commands.enumerated() {
      if connection.prepared[statement.name] == nil, pending.insert(statement.name).inserted {
        let types = parameters.slots.map { Oid($0.oid) }
        guard PQsendPrepare(libpq.pointer, statement.name, statement.sql, Int32(types.count), types) == 1 else {
          throw libpq.lost()
        }
        steps.append(Step(command: index, prepares: true))
      }
      guard parameters.send(statement.name, on: libpq.pointer) else { throw libpq.lost() }
      steps.append(Step(command: index, prepares: false))
      if statement == .commit { commitInFlight = true }
    }
    guard PQpipelineSync(libpq.pointer) == 1 else { throw libpq.lost() }
  }

  /// The reply to a step is one result, followed by nil.
  private mutating func receive(_ step: Step) throws(LibpqFailure) {
    let (statement, parameters) = commands[step.command]
    guard let handle = try libpq.nextResult(until: until) else { throw libpq.lost() }
    switch handle.status {
    case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
      if step.prepares {
        connection.prepared[statement.name] = .init(sql: statement.sql, types: parameters.slots.map(\.oid))
      } else {
        let result = PostgresResult(handle, operation: statement.name)
        connection.recordWritten(result)
        accept(result, of: statement)
      }
    case PGRES_PIPELINE_ABORTED:
      break
    case PGRES_FATAL_ERROR:
      let error = connection.serverError(handle, statement.name, site, commitInFlight: commitInFlight)
      // The statements after it are skipped, including COMMIT, so the outcome is known unless the session ended.
      commitInFlight = false
      problem = problem ?? error
      if libpq.isBroken { return }
    default:
      libpq.markBroken()
      throw .lost("the statement needs a protocol that is not supported, e.g. COPY")
    }
    guard try libpq.nextResult(until: until) == nil else { throw libpq.lost() }
  }

  private mutating func accept(_ result: PostgresResult, of statement: PostgresStatement) {
    found.append(result)
    guard statement == .commit else { return }
    commitInFlight = false
    // The server replies to the COMMIT of a failed transaction with success and the tag ROLLBACK.
    if result.commandTag != "COMMIT" { problem = problem ?? connection.rolledBackInstead(site) }
  }

  private func receiveSync() throws(LibpqFailure) {
    guard let handle = try libpq.nextResult(until: until), handle.status == PGRES_PIPELINE_SYNC,
      PQexitPipelineMode(libpq.pointer) == 1
    else { throw libpq.lost() }
  }
}

extension PostgresParameters {
  /// - Returns: false when libpq failed to send.
  fileprivate func send(_ name: String, on connection: OpaquePointer) -> Bool {
    let lengths = slots.map { Int32($0.length) }
    let formats = [Int32](repeating: 1, count: slots.count)
    let values = slots.map { slot -> UnsafePointer<CChar>? in
      slot.length < 0 ? nil : ((slot.column ?? bytes).start + slot.offset).assumingMemoryBound(to: CChar.self)
    }
    return withExtendedLifetime(self) {
      PQsendQueryPrepared(connection, name, Int32(slots.count), values, lengths, formats, 1) == 1
    }
  }
}
