import ConnectionThreads
import CLibPQ
import Glibc

extension PostgresConnection {
  /// Opens a session on the first address that accepts one, and sets it up: time limits, UTF-8.
  ///
  /// Blocks for at most `connectTimeout` an address, name resolution aside.
  /// - Throws: `permanent` for refused credentials, an unknown database or role, a wrong connection string; else
  ///   `transient`. A server may say the former, too, of something that passes: a password that is being changed, a
  ///   database that is being renamed or restored.
  public static func connect(
    _ settings: PostgresSettings, file: String = #fileID, line: Int = #line
  ) throws(PostgresError) -> PostgresConnection {
    let site = CallSite(file: file, line: line)
    var problems: [PostgresError] = []
    // A server that refuses the login would refuse it under its other address too.
    var refusing: Set<String> = []
    for candidate in try HostCandidates.of(settings.options) {
      let host = candidate["host"]
      if let host, refusing.contains(host) { continue }
      do throws(PostgresError) {
        return try open(settings, at: candidate, site)
      } catch {
        problems.append(error)
        if !error.isRetriable, let host { refusing.insert(host) }
      }
    }
    // Where one of several hosts may take the session later, the others' refusals are not the last word.
    guard var problem = problems.first(where: \.isRetriable) ?? problems.last else {
      throw PostgresError(.permanent, operation: PostgresError.connect, "no host to connect to", file: file, line: line)
    }
    problem.message = problems.map(\.message).joined(separator: "; ")
    throw problem
  }

  private static func open(
    _ settings: PostgresSettings, at candidate: HostCandidates.Candidate, _ site: CallSite
  ) throws(PostgresError) -> PostgresConnection {
    var options = settings.options
    for key in ["host", "hostaddr", "port"] { options[key] = nil }
    options.merge(candidate) { $1 }
    options["application_name"] = settings.applicationName
    options["client_encoding"] = "UTF8"
    guard let pointer = start(options) else {
      throw PostgresError(
        .transient, operation: PostgresError.connect, "out of memory", file: site.file, line: site.line)
    }
    let libpq = LibpqConnection(pointer, notices: NoticeSink(settings.noticeHandler))
    // Verbose, since the SQLSTATE of a refusal is to be had only from the text.
    PQsetErrorVerbosity(pointer, PQERRORS_VERBOSE)
    let until = MonotonicInstant.now() + settings.connectTimeout
    try handshake(libpq, until: until, candidate, settings, site)
    PQsetErrorVerbosity(pointer, PQERRORS_DEFAULT)
    guard PQsetnonblocking(pointer, 1) == 0 else { throw refusal(libpq, site) }

    let connection = PostgresConnection(libpq, settings)
    do throws(PostgresError) {
      _ = try connection.simpleQuery(sessionSetup(settings), operation: PostgresError.setUp, site: site, until: until)
    } catch {
      var error = error
      if let sqlState = error.sqlState { error.kind = PostgresError.Kind(sqlState: sqlState, isConnecting: true) }
      throw error
    }
    return connection
  }

  private static func start(_ options: [String: String]) -> OpaquePointer? {
    let keys = options.keys.sorted()
    let keywords = keys.map { strdup($0) }
    let values = keys.map { strdup(options[$0] ?? "") }
    defer { for copy in keywords + values { free(copy) } }
    let keywordList = keywords.map { UnsafePointer<CChar>($0) } + [nil]
    let valueList = values.map { UnsafePointer<CChar>($0) } + [nil]
    return PQconnectStartParams(keywordList, valueList, 0)
  }

  private static func handshake(
    _ libpq: LibpqConnection, until: MonotonicInstant, _ candidate: HostCandidates.Candidate,
    _ settings: PostgresSettings,
    _ site: CallSite
  ) throws(PostgresError) {
    guard PQstatus(libpq.pointer) != CONNECTION_BAD else { throw refusal(libpq, site) }
    // libpq: behave as if PQconnectPoll had asked to write.
    var step = PGRES_POLLING_WRITING
    while step != PGRES_POLLING_OK {
      do throws(LibpqFailure) {
        try libpq.wait(reading: step == PGRES_POLLING_READING, writing: step == PGRES_POLLING_WRITING, until: until)
      } catch {
        if case .deadline = error {
          let host = candidate["host"] ?? candidate["hostaddr"] ?? "the server"
          throw PostgresError(
            .transient, operation: PostgresError.connect, "no answer from \(host) within \(settings.connectTimeout)",
            file: site.file,
            line: site.line)
        }
        throw refusal(libpq, site)
      }
      step = PQconnectPoll(libpq.pointer)
      if step == PGRES_POLLING_FAILED { throw refusal(libpq, site) }
    }
  }

  private static func refusal(_ libpq: LibpqConnection, _ site: CallSite) -> PostgresError {
    let text = libpq.errorMessage
    let sqlState = ErrorText.sqlState(inVerbose: text)
    // libpq gives up without asking the server, hence without a SQLSTATE, where it has no password to offer.
    let isHopeless = sqlState == nil && (PQconnectionNeedsPassword(libpq.pointer) == 1 || ErrorText.isOfSettings(text))
    let kind = isHopeless ? .permanent : PostgresError.Kind(sqlState: sqlState, isConnecting: true)
    return PostgresError(
      kind, sqlState: sqlState, operation: PostgresError.connect,
      ErrorText.connection(sqlState == nil ? ErrorText.withoutValue(text) : text), file: site.file,
      line: site.line)
  }

  private static func sessionSetup(_ settings: PostgresSettings) -> String {
    var statements = [
      "SET statement_timeout = \(settings.statementTimeout.wholeMilliseconds)",
      "SET lock_timeout = \(settings.lockTimeout.wholeMilliseconds)",
      // A database's own default may be stricter; every wait for a lock would then end in 40001.
      "SET default_transaction_isolation = 'read committed'",
      // So that the server, too, notices soon when this machine is gone, and gives its locks up. Without effect on
      // local sockets.
      "SET tcp_keepalives_idle = 10", "SET tcp_keepalives_interval = 3", "SET tcp_keepalives_count = 3",
      "SET tcp_user_timeout = 15000",
      "SET idle_in_transaction_session_timeout = \(settings.idleInTransactionTimeout.wholeMilliseconds)",
    ]
    if settings.plansByIndexes {
      // A scan that cannot be avoided, of a host's trigger for instance, looks dear enough then to be compiled at each
      // execution.
      statements += [
        "SET plan_cache_mode = force_generic_plan", "SET enable_seqscan = off", "SET jit = off",
        // Nor does an index in the order that is asked for look dearer than to sort all that another index finds.
        "SET enable_sort = off", "SET enable_incremental_sort = off", "SET enable_bitmapscan = off",
      ]
    }
    // Each transaction takes the role on anew. Here it shows whether it can.
    if let role = settings.role { statements.append("SET LOCAL ROLE \(quotedIdentifier(role))") }
    return statements.joined(separator: "; ")
  }

  /// An SQL identifier in quotation marks, to be put into a statement's text.
  public static func quotedIdentifier(_ name: String) -> String {
    "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
  }
}
