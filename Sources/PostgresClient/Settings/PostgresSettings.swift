import CLibPQ
import ConnectionThreads
import Glibc

/// How to reach a server and how long to wait for it. Holds the password: every way of printing it leaves that out.
public struct PostgresSettings: Sendable {
  /// Shown in `pg_stat_activity`. Default: `client-journey-adapter`.
  public var applicationName: String
  /// The role as which each transaction works (`SET LOCAL ROLE`), or nil to stay what the login is. Outside a
  /// transaction the session is the login's.
  public var role: String?
  /// For each address tried, from the first packet to a usable session. Default 5 s, or the string's `connect_timeout`.
  public var connectTimeout: Duration = .seconds(5)
  /// The server cancels a statement after this (57014; the connection survives). 0 = never. Default 20 s.
  public var statementTimeout: Duration = .seconds(20)
  /// The server gives up waiting for a lock after this (55P03). 0 = never. Default 10 s.
  public var lockTimeout: Duration = .seconds(10)
  /// The server ends a session that idles inside a transaction for this long. 0 = never. Default 60 s.
  public var idleInTransactionTimeout: Duration = .seconds(60)
  /// The client's own limit for a round trip, for the case that the server or the network says nothing at all: libpq
  /// has none. Keep it above `statementTimeout`. nil = wait for ever. Default 30 s.
  public var deadline: Duration? = .seconds(30)
  /// Whether prepared statements are planned for any values, instead of for the values at hand the first five times,
  /// and look rows up in indexes whenever they can. For statements that take a batch as arrays: planned for five
  /// hundred values, they would rather read a table of some ten thousand rows from end to end than look five hundred of
  /// them up; planned while a table is small, they go on reading it until the server analyses it again. Plans are made
  /// anew whenever the rows that the connection has written have doubled.
  public var plansByIndexes = false
  /// The pause after the first failed attempt to connect. It doubles up to `maxReconnectDelay`, and each pause is drawn
  /// at random from its upper half.
  public var minReconnectDelay: Duration = .milliseconds(100)
  public var maxReconnectDelay: Duration = .seconds(10)
  /// Receives the server's notices and warnings, on the connection's thread. They go nowhere by default.
  var noticeHandler: (@Sendable (PostgresNotice) -> Void)?

  /// What the connection string says, e.g. `host` -> `a,b`. Includes the password.
  let options: [String: String]

  /// - Parameters:
  ///   - conninfo: A URI (`postgresql://user:password@a:5432,b:5432/db?sslmode=verify-full`) or `key=value` pairs;
  ///     several hosts
  ///     are tried in turn. Where it does not say otherwise: `target_session_attrs=read-write`, TCP keepalives (10 s, 3 s, 3),
  ///     `tcp_user_timeout` 15 s, `gssencmode=disable`.
  ///   - applicationName: Shown in `pg_stat_activity`, unless the string has its own.
  ///   - role: The role as which each transaction works.
  /// - Throws: `permanent`, naming what is wrong without quoting the string.
  public init(conninfo: String, applicationName: String = "client-journey-adapter", role: String? = nil)
    throws(PostgresError)
  {
    try Self.check(conninfo)
    var options = try Self.parse(conninfo)
    self.applicationName = options["application_name"] ?? applicationName
    self.role = role
    if let text = options["connect_timeout"] {
      guard let seconds = Int(text) else {
        throw PostgresError(
          .permanent, operation: "read connection string", "connect_timeout is not a whole number of seconds")
      }
      if seconds > 0 { connectTimeout = .seconds(seconds) }
      options["connect_timeout"] = nil
    }
    // libpq looks at ports only when it connects, where a typing error reads like a server that is away.
    for port in (options["port"] ?? "").split(separator: ",") where !(1...65_535).contains(Int(port) ?? 0) {
      throw PostgresError(.permanent, operation: "read connection string", "the port is not a number from 1 to 65535")
    }
    try Self.checkFiles(options)
    // A file that a line was written to ends with a line break, and so does what a shell or a container reads of it.
    if options["password"] == nil, let text = getenv("PGPASSWORD").map({ String(cString: $0) }),
      text.last?.isNewline == true
    {
      options["password"] = String(text.prefix { !$0.isNewline })
    }
    for (key, value) in Self.defaults where options[key] == nil { options[key] = value }
    self.options = options
  }

  private static let defaults = [
    "target_session_attrs": "read-write",
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "gssencmode": "disable",
  ]

  /// A password that is not percent-encoded ends where libpq takes one of its characters for a mark; what comes after
  /// would pass for a host or a database, and be told to everybody who is told of those.
  private static func check(_ conninfo: String) throws(PostgresError) {
    for scheme in ["postgresql://", "postgres://"] where conninfo.hasPrefix(scheme) {
      let rest = conninfo.dropFirst(scheme.count), authority = rest.prefix { $0 != "/" }
      // In a parameter, whose name libpq has to know, a '@' is one: `?user=app@tenant`. But behind a '@' of the
      // authority it may be a password's.
      let tail = rest[authority.endIndex...], database = tail.prefix { $0 != "?" },
        marks = authority.count { $0 == "@" }
      guard marks <= 1, !(marks == 0 ? database : tail).contains("@") else {
        throw PostgresError(
          .permanent, operation: "read connection string",
          "a '@' stands where none can be; \(ConnectionStringFault.encoding)")
      }
    }
  }

  private static func parse(_ conninfo: String) throws(PostgresError) -> [String: String] {
    var message: UnsafeMutablePointer<CChar>?
    guard let list = PQconninfoParse(conninfo, &message) else {
      defer { PQfreemem(message) }
      let said = message.map { String(cString: $0) } ?? ""
      throw PostgresError(
        .permanent, operation: "read connection string", ConnectionStringFault.words(said, in: conninfo, known: known))
    }
    defer { PQconninfoFree(list) }
    var options: [String: String] = [:]
    var entry = list
    while let keyword = entry.pointee.keyword {
      if let value = entry.pointee.val { options[String(cString: keyword)] = String(cString: value) }
      entry += 1
    }
    return options
  }

  /// libpq looks at these files once a server has answered, and at some of them not even then.
  private static func checkFiles(_ options: [String: String]) throws(PostgresError) {
    for name in ["sslrootcert", "sslcert", "sslkey", "sslcrl"] {
      guard let path = options[name], !path.isEmpty, access(path, R_OK) != 0 else { continue }
      // The system's authorities, and a key in hardware.
      if name == "sslrootcert" && path == "system" || name == "sslkey" && !path.hasPrefix("/") && path.contains(":") {
        continue
      }
      throw PostgresError(
        .permanent, operation: "read connection string", "the file that \(name) names is not there, or cannot be read")
    }
  }

  /// The parameters that libpq has.
  private static var known: Set<String> {
    guard let list = PQconndefaults() else { return [] }
    defer { PQconninfoFree(list) }
    var names: Set<String> = []
    var entry = list
    while let keyword = entry.pointee.keyword {
      names.insert(String(cString: keyword))
      entry += 1
    }
    return names
  }

  /// User, hosts, database and TLS mode, as a URI: for logs and for people.
  public var safeDescription: String {
    let hosts = (options["host"] ?? options["hostaddr"] ?? "").split(separator: ",", omittingEmptySubsequences: false)
    let ports = (options["port"] ?? "").split(separator: ",", omittingEmptySubsequences: false)
    let authorities = hosts.enumerated().map { index, host in
      let port = ports.count == 1 ? ports[0] : (index < ports.count ? ports[index] : "")
      return port.isEmpty ? String(host) : "\(host):\(port)"
    }
    var text = "postgresql://"
    if let user = options["user"] { text += "\(user)@" }
    text += authorities.joined(separator: ",") + "/" + (options["dbname"] ?? "")
    if let mode = options["sslmode"] { text += "?sslmode=\(mode)" }
    return text
  }
}

extension PostgresSettings: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  public var description: String { safeDescription }
  public var debugDescription: String { safeDescription }
  // `dump` and loggers that walk values would otherwise find the password.
  public var customMirror: Mirror { Mirror(self, children: ["connection": safeDescription]) }
}

/// A notice or warning that the server sent beside its answers.
struct PostgresNotice: Sendable {
  /// `WARNING`, `NOTICE`, `INFO`, `LOG` or `DEBUG`.
  var severity: String
  var sqlState: String?
  /// The primary message only.
  var message: String
}

extension Duration {
  /// At least 1 for anything above zero: PostgreSQL reads a timeout of 0 as "never".
  var wholeMilliseconds: Int64 {
    let nanoseconds = wholeNanoseconds
    return nanoseconds <= 0 ? 0 : max(1, nanoseconds / 1_000_000)
  }
}
