import CLibPQ
import ConnectionThreads
import Glibc

/// How to reach a server, and the time limits. Contains the password, which no way of printing it reveals.
public struct PostgresSettings: Sendable, CustomStringConvertible {
  /// Shown in `pg_stat_activity`. Default: `client-journey-adapter`.
  public var applicationName: String
  /// The role of each transaction (`SET LOCAL ROLE`); nil: the login. Outside a transaction, the session has the
  /// login's role.
  public var role: String?
  /// The limit for each address, from the first packet to a usable session. Default: the string's `connect_timeout`, or
  /// 5 s.
  public var connectTimeout: Duration = .seconds(5)
  /// After this time, the server cancels a statement (57014) and keeps the connection. 0: never. Default 20 s.
  public var statementTimeout: Duration = .seconds(20)
  /// After this time, the server stops waiting for a lock (55P03). 0: never. Default 10 s.
  public var lockTimeout: Duration = .seconds(10)
  /// After this time, the server ends a session that is idle in a transaction. 0: never. Default 60 s.
  public var idleInTransactionTimeout: Duration = .seconds(60)
  /// The client's limit for a round trip, in case the server or the network does not respond; libpq has none. Keep it
  /// above `statementTimeout`. Nil: no limit. Default 30 s.
  public var deadline: Duration? = .seconds(30)
  /// Whether to force generic plans that use indexes wherever possible. For statements that take a batch as arrays:
  /// planned for five hundred values, they would scan a table of ten thousand rows instead of looking up five hundred,
  /// and planned while a table is small, they would scan it until the server analyses it again. The connection renews
  /// its plans whenever the rows that it has written have doubled.
  public var plansByIndexes = false
  /// The pause after the first failed attempt to connect. It doubles up to `maxReconnectDelay`, and each pause is drawn
  /// at random from its upper half.
  public var minReconnectDelay: Duration = .milliseconds(100)
  public var maxReconnectDelay: Duration = .seconds(10)
  /// Receives the server's notices and warnings on the connection's thread. Nil drops them.
  var noticeHandler: (@Sendable (PostgresNotice) -> Void)?

  /// The connection string as it is now, asked for before each attempt to connect; nil: it never changes. What cannot
  /// be read is ignored.
  public var currentString: (@Sendable () -> String)?

  /// The options of the connection string, e.g. `host` -> `a,b`, including the password.
  private(set) var options: [String: String]

  /// - Parameters:
  ///   - conninfo: a URI (`postgresql://user:password@a:5432,b:5432/db?sslmode=verify-full`) or `key=value` pairs.
  ///     Several hosts are tried in turn. Defaults: `target_session_attrs=read-write`, TCP keepalives (10 s, 3 s, 3),
  ///     `tcp_user_timeout` 15 s, `gssencmode=disable`.
  ///   - applicationName: shown in `pg_stat_activity`, unless the string contains one.
  ///   - role: the role of each transaction.
  /// - Throws: `permanent` with the reason, without quoting the string.
  public init(conninfo: String, applicationName: String = "client-journey-adapter", role: String? = nil)
    throws(PostgresError)
  {
    try Self.check(conninfo)
    var options = try Self.parse(conninfo)
    self.applicationName = options["application_name"] ?? applicationName
    self.role = role
    if let text = options["connect_timeout"] {
      guard let seconds = Int(text) else {
        throw PostgresError.invalidString("connect_timeout is not a whole number of seconds")
      }
      if seconds > 0 { connectTimeout = .seconds(seconds) }
      options["connect_timeout"] = nil
    }
    // libpq checks ports only when it connects, and then a typing error looks like an unreachable server.
    for port in (options["port"] ?? "").split(separator: ",") where !(1...65_535).contains(Int(port) ?? 0) {
      throw PostgresError.invalidString("the port is not a number from 1 to 65535")
    }
    try Self.checkFiles(options)
    // A password read from a file often ends with a line break.
    if options["password"] == nil, let text = getenv("PGPASSWORD").map({ String(cString: $0) }),
      text.last?.isNewline == true
    {
      options["password"] = String(text.prefix { !$0.isNewline })
    }
    for (key, value) in Self.defaults where options[key] == nil { options[key] = value }
    self.options = options
  }

  /// With the connection string as it is now.
  func renewed() -> Self {
    guard let string = currentString?(), let fresh = try? Self(conninfo: string) else { return self }
    var renewed = self
    renewed.options = fresh.options
    return renewed
  }

  private static let defaults = [
    "target_session_attrs": "read-write",
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "gssencmode": "disable",
  ]

  /// libpq would take what follows a special character of an unencoded password for a host or a database, and logs
  /// would show it.
  private static func check(_ conninfo: String) throws(PostgresError) {
    for scheme in ["postgresql://", "postgres://"] where conninfo.hasPrefix(scheme) {
      let rest = conninfo.dropFirst(scheme.count), authority = rest.prefix { $0 != "/" }
      // In a parameter, a '@' may be legitimate: `?user=app@tenant`. But after the '@' of the authority it may belong
      // to a password.
      let tail = rest[authority.endIndex...], database = tail.prefix { $0 != "?" },
        marks = authority.count { $0 == "@" }
      guard marks <= 1, !(marks == 0 ? database : tail).contains("@") else {
        throw PostgresError.invalidString("a '@' stands where none can be; \(ConnectionStringFault.encoding)")
      }
    }
  }

  private static func parse(_ conninfo: String) throws(PostgresError) -> [String: String] {
    var message: UnsafeMutablePointer<CChar>?
    guard let list = PQconninfoParse(conninfo, &message) else {
      defer { PQfreemem(message) }
      let said = message.map { String(cString: $0) } ?? ""
      throw PostgresError.invalidString(
        ConnectionStringFault.words(said, in: conninfo, known: Set(libpqOptions(PQconndefaults()).keys)))
    }
    return libpqOptions(list).compactMapValues(\.self)
  }

  /// libpq checks these files only once a server has replied, and some of them not even then.
  private static func checkFiles(_ options: [String: String]) throws(PostgresError) {
    for name in ["sslrootcert", "sslcert", "sslkey", "sslcrl"] {
      guard let path = options[name], !path.isEmpty, access(path, R_OK) != 0 else { continue }
      // The system's authorities, or a key in hardware.
      if name == "sslrootcert" && path == "system" || name == "sslkey" && !path.hasPrefix("/") && path.contains(":") {
        continue
      }
      throw PostgresError.invalidString("the file that \(name) names is not there, or cannot be read")
    }
  }

  /// User, hosts, database and TLS mode as a URI, for logs.
  public var description: String {
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

extension PostgresSettings: CustomDebugStringConvertible, CustomReflectable {
  public var debugDescription: String { description }
  // Otherwise `dump` and loggers that use reflection would find the password.
  public var customMirror: Mirror { Mirror(self, children: ["connection": description]) }
}

/// A notice or warning from the server.
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

/// The values of libpq's options by their keywords. Frees the list; nil is an empty one.
func libpqOptions(_ list: UnsafeMutablePointer<PQconninfoOption>?) -> [String: String?] {
  defer { PQconninfoFree(list) }
  var options: [String: String?] = [:]
  var entry = list
  while let option = entry?.pointee, let keyword = option.keyword {
    options.updateValue(option.val.map { String(cString: $0) }, forKey: String(cString: keyword))
    entry = entry?.successor()
  }
  return options
}

extension PostgresError {
  static func invalidString(_ message: String, file: String = #fileID, line: Int = #line) -> PostgresError {
    PostgresError(.permanent, operation: "read connection string", message, file: file, line: line)
  }
}
