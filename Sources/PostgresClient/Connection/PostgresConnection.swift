import ConnectionThreads
import CLibPQ
import Glibc
import Synchronization

/// A session with a server. Its calls block, each for at most its deadline.
///
/// Not Sendable: it belongs to the thread that made it. `PostgresWorker` and `PostgresPool` own threads for this
/// purpose and lend the connection to closures.
public final class PostgresConnection {
  /// Tells connections of this process apart, for ever. A backend's process id comes again.
  public let serial = serials.wrappingAdd(1, ordering: .relaxed).newValue
  private static let serials = Atomic<UInt64>(0)

  let libpq: LibpqConnection
  private let settings: PostgresSettings
  private let owner: pthread_t
  /// Statements that the server holds, with the SQL and the parameter types that they were prepared for.
  var prepared: [String: PreparedStatement] = [:]
  /// Set when the server rejected a prepared statement inside a transaction, where it cannot be replaced.
  var hasStaleStatements = false
  /// The rows that were written, in all and until plans were made last.
  private var written = (inAll: 0, whenPlanned: 0)
  /// The limit of each round trip from here on, nil = none. Starts as `PostgresSettings.deadline`.
  public var deadline: Duration?

  /// Takes on `PostgresSettings.role` until the transaction ends. Not for the session: a pooler may lend the server's
  /// session to somebody else between two transactions.
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

  /// False once the connection is lost or given up: nothing on it succeeds any more.
  public var isUsable: Bool { !libpq.isBroken }

  /// False when the connection is unusable or the server has closed it meanwhile; costs no round trip.
  func isAlive() -> Bool { libpq.isAlive() }

  /// True between BEGIN and the end of the transaction, also when it has failed.
  public var isInTransaction: Bool {
    libpq.transactionStatus == PQTRANS_INTRANS || libpq.transactionStatus == PQTRANS_INERROR
  }

  /// The server's process id for this session, as in `pg_stat_activity`.
  public var backendPID: Int32 { PQbackendPID(libpq.pointer) }
  /// E.g. 150018 for 15.18.
  public var serverVersion: Int32 { PQserverVersion(libpq.pointer) }

  /// Runs SQL without parameters through the simple query protocol: several statements separated by semicolons, which
  /// form one transaction unless the text says otherwise.
  ///
  /// - Returns: the last statement's result; its values are text.
  /// - Throws: the first statement's error that fails; the statements after it are not run.
  @discardableResult
  public func execute(_ sql: String, file: String = #fileID, line: Int = #line) throws(PostgresError) -> PostgresResult
  {
    var text = sql
    // Statements that are sent together are one transaction.
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

  // MARK: What the parts of this class share

  func roundTripLimit() -> MonotonicInstant? { deadline.map { MonotonicInstant.now() + $0 } }

  /// Notes what a statement wrote, for `renewPlans`.
  func recordWritten(_ result: PostgresResult) {
    if settings.plansByIndexes, !result.commandTag.hasPrefix("SELECT") { written.inAll += result.affectedRows }
  }

  /// Has plans made anew whenever what was written here has doubled: what is best for a table of a few rows may be the
  /// worst for a large one, and the server itself looks again only when it has analysed the table, a minute later or
  /// more. Older plans are right as well, so a server that refuses is no reason to stop.
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

  /// An error that the server reported, as ours. Gives the connection up where the report ends the session.
  func serverError(
    _ handle: borrowing ResultHandle, _ operation: String, _ site: CallSite, commitInFlight: Bool
  ) -> PostgresError {
    let isLost = handle.endsSession || PQstatus(libpq.pointer) == CONNECTION_BAD
    if isLost { libpq.markBroken() }
    let kind = PostgresError.Kind(sqlState: handle.sqlState, function: handle.diagnostic("R"))
    if kind == .reprepare { hasStaleStatements = true }
    // The session is with a server that became read-only: only a new connection finds the primary.
    if kind == .reconnect { libpq.markBroken() }
    // Whatever a server or a pooler says when it ends a session (XX000, 08P01, 0A000), the next session may do. A
    // session can also end after its commit took effect, e.g. while it waits for a standby.
    let ofLost: PostgresError.Kind = commitInFlight ? .commitUnknown : kind == .permanent ? .transient : kind
    var error = handle.error(isLost ? ofLost : kind, operation: operation, site: site)
    if error.sqlState == nil { error.message = ErrorText.connection(libpq.errorMessage) }
    return error
  }

  /// A failure of the transport, as ours.
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
