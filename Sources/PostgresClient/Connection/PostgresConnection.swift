import ConnectionThreads
import CLibPQ
import Glibc
import Synchronization

/// A session with a server. Each call blocks, at most until its deadline.
///
/// Not Sendable: it belongs to the thread that opened it. `PostgresWorker` and `PostgresPool` own such threads and pass
/// the connection to closures.
public final class PostgresConnection {
  /// Unique among the connections of this process, unlike the process id of the backend.
  public let serial = serials.wrappingAdd(1, ordering: .relaxed).newValue
  private static let serials = Atomic<UInt64>(0)

  let libpq: LibpqConnection
  private let settings: PostgresSettings
  private let owner: pthread_t
  /// The session's prepared statements, with the SQL and the parameter types.
  var prepared: [String: PreparedStatement] = [:]
  /// Set when the server rejected a prepared statement inside a transaction, where it cannot be prepared again.
  var hasStaleStatements = false
  /// The rows written in total, and at the last renewal of the plans.
  private var written = (inAll: 0, whenPlanned: 0)
  /// The limit of each further round trip; nil: none. Initially `PostgresSettings.deadline`.
  public var deadline: Duration?

  /// Sets `PostgresSettings.role` for a transaction. Not for the session, because a pooler may give the server's
  /// session to another client between transactions.
  let takeOnRole: PostgresStatement?

  struct PreparedStatement {
    var sql: String
    var types: [UInt32]
  }

  init(_ libpq: LibpqConnection, _ settings: PostgresSettings) {
    self.libpq = libpq
    self.settings = settings
    takeOnRole = settings.role.map {
      PostgresStatement(name: "take_on_role", "SET LOCAL ROLE \(Self.quotedIdentifier($0))")
    }
    owner = pthread_self()
    deadline = settings.deadline
  }

  /// False once the connection is lost or given up; every further call fails.
  public var isUsable: Bool { !libpq.isBroken }

  /// Whether the connection is usable and the server has kept it open. Costs no round trip.
  func isAlive() -> Bool { libpq.isAlive() }

  /// Whether a transaction is open, even a failed one.
  public var isInTransaction: Bool {
    libpq.transactionStatus == PQTRANS_INTRANS || libpq.transactionStatus == PQTRANS_INERROR
  }

  /// The server's process id for this session, as in `pg_stat_activity`.
  public var backendPID: Int32 { PQbackendPID(libpq.pointer) }
  /// E.g. 150018 for 15.18.
  public var serverVersion: Int32 { PQserverVersion(libpq.pointer) }

  /// Runs SQL without parameters through the simple query protocol. Several statements, separated by semicolons, form
  /// one transaction unless the text contains transaction commands.
  ///
  /// - Returns: the last statement's result; its values are text.
  /// - Throws: the error of the first statement that fails; those after it do not run.
  @discardableResult
  public func execute(_ sql: String, file: String = #fileID, line: Int = #line) throws(PostgresError) -> PostgresResult
  {
    var text = sql
    // Statements sent together form one transaction.
    if let takeOnRole, !isInTransaction { text = "\(takeOnRole.sql); \(sql)" }
    return try simpleQuery(text, operation: "execute", site: CallSite(file: file, line: line))
  }

  func simpleQuery(_ sql: String, operation: String, site: CallSite, until limit: MonotonicInstant? = nil)
    throws(PostgresError)
    -> PostgresResult
  {
    try requireUsable(operation, site)
    let until = limit ?? roundTripLimit()
    let isCommit = operation == PostgresStatement.commit.name
    guard PQsendQuery(libpq.pointer, sql) == 1 else {
      throw failure(libpq.lost(), operation, site)
    }
    var last: PostgresResult?
    var problem: PostgresError?
    do throws(LibpqFailure) {
      try libpq.flush(until: until)
      while let handle = try libpq.nextResult(until: until) {
        switch handle.status {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
          last = PostgresResult(handle, operation: operation)
        case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
          libpq.markBroken()
          throw .lost("COPY is not supported")
        default:
          let error = serverError(handle, operation, site, commitInFlight: isCommit)
          problem = problem ?? error
        }
        if libpq.isBroken { break }
      }
    } catch {
      throw problem ?? failure(error, operation, site, commitInFlight: isCommit)
    }
    if let problem { throw problem }
    guard let last else { throw failure(libpq.lost(), operation, site, commitInFlight: isCommit) }
    return last
  }

  // MARK: Shared by the extensions

  func roundTripLimit() -> MonotonicInstant? { deadline.map { MonotonicInstant.now() + $0 } }

  /// Counts the rows that a statement wrote, for `renewPlans`.
  func recordWritten(_ result: PostgresResult) {
    if settings.plansByIndexes, !result.commandTag.hasPrefix("SELECT") { written.inAll += result.affectedRows }
  }

  /// Discards the server's plans whenever the rows written by this connection have doubled. The best plan for a small
  /// table may be the worst for a large one, and the server itself replans only after it has analysed the table, a
  /// minute later or more. Old plans still give correct results, so an error is ignored.
  func renewPlans(_ site: CallSite) throws(PostgresError) {
    guard !isInTransaction, written.inAll > 0, written.inAll >= 2 * written.whenPlanned else { return }
    written.whenPlanned = written.inAll
    do {
      _ = try simpleQuery("DISCARD PLANS", operation: "renew_plans", site: site)
    } catch {
      guard isUsable else { throw error }
    }
  }

  func requireUsable(_ operation: String, _ site: CallSite) throws(PostgresError) {
    precondition(pthread_equal(owner, pthread_self()) != 0, "a PostgresConnection was used on a foreign thread")
    guard libpq.isBroken else { return }
    throw PostgresError(
      .transient, operation: operation, "the connection was lost earlier", file: site.file, line: site.line)
  }

  /// Converts an error result. Gives the connection up when the error ends the session.
  func serverError(
    _ handle: borrowing ResultHandle, _ operation: String, _ site: CallSite, commitInFlight: Bool
  ) -> PostgresError {
    let isLost = handle.endsSession || PQstatus(libpq.pointer) == CONNECTION_BAD
    if isLost { libpq.markBroken() }
    let kind = PostgresError.Kind(sqlState: handle.sqlState, function: handle.diagnostic("R"))
    if kind == .reprepare { hasStaleStatements = true }
    // The server became read-only: only a new connection finds the primary.
    if kind == .reconnect { libpq.markBroken() }
    // Whatever error ended the session (XX000, 08P01, 0A000), the next session may work. A session can also end after
    // its commit took effect, for example while it waits for a standby.
    let ofLost: PostgresError.Kind = commitInFlight ? .commitUnknown : kind == .permanent ? .transient : kind
    var error = handle.error(isLost ? ofLost : kind, operation: operation, site: site)
    if error.sqlState == nil { error.message = ErrorText.connection(libpq.errorMessage) }
    return error
  }

  /// Converts a failure of the connection.
  func failure(_ failure: LibpqFailure, _ operation: String, _ site: CallSite, commitInFlight: Bool = false)
    -> PostgresError
  {
    switch failure {
    case .lost(let message):
      libpq.markBroken()
      return PostgresError(
        commitInFlight ? .commitUnknown : .transient, operation: operation, message, file: site.file, line: site.line)
    case .deadline:
      libpq.cancelAndGiveUp()
      return PostgresError(
        commitInFlight ? .commitUnknown : .deadline, operation: operation,
        "no answer within the deadline; cancelled, and the connection given up", file: site.file, line: site.line)
    }
  }
}
