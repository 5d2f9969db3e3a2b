import ConnectionThreads
import CLibPQ
import Glibc

extension PostgresConnection {
  /// Opens a session on the first address that accepts one, and sets its time limits and its encoding.
  ///
  /// Blocks for at most `connectTimeout` for each address, without the time for name resolution.
  /// - Throws: `permanent` for refused credentials, an unknown database or role, or a wrong connection string;
  ///   otherwise `transient`. Even a `permanent` error may pass, for example while a password is changed or a database
  ///   restored.
  public static func connect(
    _ settings: PostgresSettings, file: String = #fileID, line: Int = #line
  ) throws(PostgresError) -> PostgresConnection {
    let site = CallSite(file: file, line: line)
    let settings = settings.renewed()
    do throws(PostgresError) {
      return try openAny(settings, site)
    } catch  where error.sqlState?.hasPrefix("28") == true {
      // The password may have been changed this moment.
      let renewed = settings.renewed()
      guard renewed.options != settings.options else { throw error }
      return try openAny(renewed, site)
    }
  }

  private static func openAny(_ settings: PostgresSettings, _ site: CallSite) throws(PostgresError)
    -> PostgresConnection
  {
    var problems: [PostgresError] = []
    // A server that refuses the login would refuse it at its other addresses too.
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
    // If any host may accept the session later, the whole attempt is retriable.
    guard var problem = problems.first(where: \.isRetriable) ?? problems.last else {
      throw PostgresError(
        .permanent, operation: PostgresError.connect, "no host to connect to", file: site.file, line: site.line)
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
    // Verbose, because only the message text contains the SQLSTATE of a refusal.
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
      // The role's name is a setting's value, which the message of such an error lacks.
      if let role = settings.role, ["22023", "42501", "42704"].contains(error.sqlState ?? "") {
        error.message = "the login cannot work as the role \(role): \(error.message)"
      }
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
    // As libpq's documentation asks: behave as if PQconnectPoll had returned PGRES_POLLING_WRITING.
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
    // Without a password, libpq gives up by itself, and there is no SQLSTATE.
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
      // With a stricter default of the database, every wait for a lock would end in 40001.
      "SET default_transaction_isolation = 'read committed'",
      // The server, too, detects soon that this machine is gone, and releases its locks. No effect on local sockets.
      "SET tcp_keepalives_idle = 10", "SET tcp_keepalives_interval = 3", "SET tcp_keepalives_count = 3",
      "SET tcp_user_timeout = 15000",
      "SET idle_in_transaction_session_timeout = \(settings.idleInTransactionTimeout.wholeMilliseconds)",
    ]
    if settings.plansByIndexes {
      // With these costs, an unavoidable scan, for example in a host's trigger, would be compiled at each execution.
      statements += [
        "SET plan_cache_mode = force_generic_plan", "SET enable_seqscan = off", "SET jit = off",
        // Prefer an index in the requested order to sorting what another index finds.
        "SET enable_sort = off", "SET enable_incremental_sort = off", "SET enable_bitmapscan = off",
      ]
    }
    // Each transaction sets the role again. This checks that it can.
    if let role = settings.role { statements.append("SET LOCAL ROLE \(quotedIdentifier(role))") }
    return statements.joined(separator: "; ")
  }

  /// Quotes an SQL identifier for the text of a statement.
  public static func quotedIdentifier(_ name: String) -> String {
    "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
  }
}
