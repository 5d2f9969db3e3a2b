/// Why an operation on PostgreSQL failed: what to do about it, and what a person needs to find the cause.
///
/// It holds the server's primary message but never its DETAIL or HINT, which quote row values; where the primary
/// message itself quotes input (class 22), the quotation is cut out.
public struct PostgresError: Error, Sendable, CustomStringConvertible {
  /// What the caller can do. The classification lives in `Kind.init(sqlState:…)` alone.
  public enum Kind: String, Sendable, CaseIterable {
    /// The server, the connection or a concurrent transaction is at fault: the same work may succeed later.
    case transient
    /// The server became read-only (a failover): connect anew, which looks for the primary.
    case reconnect
    /// A prepared statement is gone or outdated. Forgotten already; the same work succeeds when repeated.
    case reprepare
    /// The data is at fault: the same rows fail again. Bisect the batch.
    case poison
    /// The set-up is at fault (credentials, privileges, schema, SQL): stop and tell a person.
    case permanent
    /// The connection was lost while COMMIT was in flight: committed or not, nobody knows. Repeat idempotently.
    case commitUnknown
    /// No answer within the round trip's deadline. The statement was cancelled and the connection given up.
    case deadline
    /// The result does not have the shape that the caller asked for: a mistake in the program.
    case decoding
    /// The worker or pool was closed before the work began.
    case closed
  }

  public var kind: Kind
  /// The five-character SQLSTATE, or nil where the server gave none (the connection broke, or the client failed).
  public var sqlState: String?
  /// One line for a person, without row values and without secrets.
  public var message: String
  /// The constraint that was violated, where the server names one.
  public var constraint: String?
  public var table: String?
  public var column: String?
  /// Where in the SQL text the error is, in characters from 1, where the server says so.
  public var position: Int?
  /// Whether a function of the database raised it in words of its own (RAISE): they may quote rows, so they are no
  /// words for a log.
  public var isRaised = false
  /// What was being done: a statement's name, `connect`, `COMMIT`, …
  public var operation: String
  /// Where in the caller's source the operation was asked for.
  public var file: String
  public var line: Int

  public init(
    _ kind: Kind, sqlState: String? = nil, operation: String, _ message: String, constraint: String? = nil,
    table: String? = nil,
    column: String? = nil, position: Int? = nil, file: String = #fileID, line: Int = #line
  ) {
    self.kind = kind
    self.sqlState = sqlState
    self.operation = operation
    self.message = message
    self.constraint = constraint
    self.table = table
    self.column = column
    self.position = position
    self.file = file
    self.line = line
  }

  /// True where repeating the whole unit of work, unchanged, can succeed.
  public var isRetriable: Bool {
    switch kind {
    case .transient, .reconnect, .reprepare, .commitUnknown, .deadline: true
    case .poison, .permanent, .decoding, .closed: false
    }
  }

  /// Whether there was no session yet: nothing of the work had begun.
  public var isOfConnecting: Bool { operation == Self.connect || operation == Self.setUp }

  static let connect = "connect"
  static let setUp = "set up session"

  public var description: String {
    var text = "PostgreSQL \(operation): \(message)"
    var notes = [kind.rawValue]
    if let sqlState { notes.append("SQLSTATE \(sqlState)") }
    if let constraint { notes.append("constraint \(constraint)") }
    if let table { notes.append("table \(table)") }
    if let column { notes.append("column \(column)") }
    if let position { notes.append("at character \(position)") }
    text += " [" + notes.joined(separator: ", ") + "] (\(file):\(line))"
    return text
  }
}

/// The place in the caller's source that asked for an operation.
struct CallSite {
  var file: String
  var line: Int
}
