/// Why an operation on PostgreSQL failed, and whether a retry can help.
///
/// Contains the server's primary message, but not its DETAIL or HINT, which quote row values. Quoted input in the
/// primary message (class 22) is cut out.
public struct PostgresError: Error, Sendable, CustomStringConvertible {
  /// What the caller can do. Only `Kind.init(sqlState:…)` classifies errors.
  public enum Kind: String, Sendable, CaseIterable {
    /// Caused by the server, the connection or a concurrent transaction: the same work may succeed later.
    case transient
    /// The server became read-only (a failover): a new connection looks for the primary.
    case reconnect
    /// A prepared statement is gone or outdated. The same work succeeds when repeated, with a new one.
    case reprepare
    /// Caused by the data: the same rows fail again. Bisect the batch.
    case poison
    /// Caused by the installation (credentials, privileges, schema, SQL): a person has to act.
    case permanent
    /// The connection was lost during COMMIT, so the outcome is unknown. Repeat the work idempotently.
    case commitUnknown
    /// No reply within the deadline of the round trip. The statement was cancelled and the connection given up.
    case deadline
    /// The result does not have the expected type: a bug.
    case decoding
    /// The worker or pool was closed before the work began.
    case closed
  }

  public var kind: Kind
  /// The five-character SQLSTATE; nil when the error is not from the server.
  public var sqlState: String?
  /// One line for a person, without row values and without secrets.
  public var message: String
  /// The violated constraint, if the server names one.
  public var constraint: String?
  public var table: String?
  public var column: String?
  /// The position of the error in the SQL text, in characters from 1, if the server gives one.
  public var position: Int?
  /// Whether a function of the database raised it (RAISE). Its message may quote rows and does not belong in a log.
  public var isRaised = false
  /// The operation that failed: a statement's name, `connect`, `COMMIT`, …
  public var operation: String
  /// The place in the caller's source that started the operation.
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

  /// Whether the whole unit of work can succeed when repeated unchanged.
  public var isRetriable: Bool {
    switch kind {
    case .transient, .reconnect, .reprepare, .commitUnknown, .deadline: true
    case .poison, .permanent, .decoding, .closed: false
    }
  }

  /// Whether it failed before there was a session, so that no work had begun.
  public var isOfConnecting: Bool { operation == Self.connect || operation == Self.setUp }

  /// Whether the server takes no writes: it says so, or libpq says so of a server that was expected to.
  public var isOfReadOnlyServer: Bool { sqlState == "25006" || sqlState == nil && message.contains("read-only") }

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

/// The place in the caller's source that started an operation.
struct CallSite {
  var file: String
  var line: Int
}
