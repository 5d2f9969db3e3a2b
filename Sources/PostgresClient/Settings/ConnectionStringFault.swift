/// Explains an invalid connection string without libpq's message, which quotes a part that may belong to the password.
enum ConnectionStringFault {
  static let encoding =
    """
    in a URI user and password are percent-encoded ('@' is %40, '/' %2F, '?' %3F, '#' %23, '%' %25), in a list values \
    with spaces are quoted
    """

  /// - Parameters:
  ///   - message: libpq's error message.
  ///   - known: libpq's parameters.
  static func words(_ message: String, in conninfo: String, known: Set<String>) -> String {
    for (beginning, what) in [
      ("invalid URI query parameter", "a parameter of the URI"), ("invalid connection option", "a key of the list"),
    ] where message.hasPrefix(beginning) {
      return unknown(what, quotation(in: message), in: conninfo, known) ?? "\(what) is not known; \(encoding)"
    }
    for (beginning, words) in [
      ("invalid percent-encoded token", "a '%' stands without two hexadecimal digits after it"),
      ("missing \"=\"", "a key of the list has no value"),
      ("missing key/value separator", "a parameter of the URI has no value"),
      ("unterminated quoted string", "a quotation is not closed"),
    ] where message.hasPrefix(beginning) { return "\(words); \(encoding)" }
    return "it is neither a URI nor a list of key=value; \(encoding)"
  }

  private static func unknown(_ what: String, _ name: String, in conninfo: String, _ known: Set<String>) -> String? {
    if let advice = foreign[name.lowercased()] { return "\(what) is not one of PostgreSQL's: \(name) \(advice)" }
    if known.contains(name.lowercased()) {
      return "\(what) is not known: write it in lower case: \(name.lowercased())"
    }
    guard isNoPassword(name, in: conninfo) else { return nil }
    return "\(what) is not known: \(name)"
  }

  private static func quotation(in message: String) -> String {
    guard let first = message.firstIndex(of: "\""), let last = message.lastIndex(of: "\""), first < last else {
      return ""
    }
    return String(message[message.index(after: first)..<last])
  }

  /// Whether a name cannot be a piece of an unencoded or unquoted password: it looks like a name, and every secret ends
  /// before it.
  private static func isNoPassword(_ name: String, in conninfo: String) -> Bool {
    let isName = name.wholeMatch(of: /[A-Za-z0-9_.-]{1,40}/) != nil
    guard isName, !conninfo.contains("password") else { return false }
    guard let scheme = conninfo.firstRange(of: "://") else { return !conninfo.contains { "@:".contains($0) } }
    let rest = conninfo[scheme.upperBound...]
    let hosts = rest.prefix { $0 != "?" && $0 != "/" }
    if rest.contains("@") { return hosts.contains("@") }
    // After a colon, only a number is a port; anything else may be a password.
    return hosts.split(separator: ",").allSatisfy { host in
      host.hasPrefix("[") && host.allSatisfy { $0.isHexDigit || "[]:.".contains($0) }
        || host.split(separator: ":").dropFirst().allSatisfy { $0.allSatisfy(\.isNumber) }
    }
  }

  /// Parameters of other programs, and what to write here instead.
  private static let foreign = [
    "pgbouncer": "is Prisma's; leave it out, and give a pooler that keeps sessions, or the server itself",
    "schema":
      "is Prisma's; leave it out: set the login's search_path in the database, or write options=-csearch_path%3Dname",
    "connection_limit":
      "is Prisma's; leave it out: pipeline.workers and api.databaseConnections say how many connections there are",
    "pool_timeout": "is Prisma's; leave it out",
    "socket_timeout": "is Prisma's; leave it out: database.answerSeconds is the limit of an answer",
    "statement_cache_size": "is Prisma's; leave it out",
    "sslaccept": "is Prisma's; write sslmode=verify-full for strict, sslmode=require for accept_invalid_certs",
    "sslidentity": "is Prisma's; write sslcert and sslkey",
    "currentschema": "is JDBC's; leave it out: set the login's search_path in the database",
    "preparethreshold": "is JDBC's; leave it out",
    "sslfactory": "is JDBC's; write sslmode and sslrootcert",
    "search_path": "is no parameter of a connection; write options=-csearch_path%3Dname",
    "statement_timeout":
      "is no parameter of a connection; leave it out: database.statementSeconds is the limit of a statement",
    "charset": "is another program's; leave it out: the adapter works in UTF-8",
    "encoding": "is another program's; leave it out: the adapter works in UTF-8",
    "pool_max_conns":
      "is pgx's; leave it out: pipeline.workers and api.databaseConnections say how many connections there are",
    "default_query_exec_mode": "is pgx's; leave it out",
    "binary_parameters": "is another program's; leave it out",
    "uselibpqcompat": "is node-postgres's; leave it out",
    "supa": "is another program's; leave it out",
    "ssl": "is another program's; write sslmode=require, or sslmode=verify-full with sslrootcert",
  ]
}

extension ErrorText {
  /// Whether libpq refuses to connect because of a setting or a file, or TLS because of an untrusted certificate. A
  /// retry does not help; a person has to fix it.
  static func isOfSettings(_ message: String) -> Bool {
    [
      "invalid sslmode value", "invalid channel_binding value", "invalid gssencmode value",
      "invalid target_session_attrs value",
      "invalid ssl_min_protocol_version value", "invalid ssl_max_protocol_version value",
      "invalid SSL protocol version range",
      "invalid require_auth value", "invalid sslcertmode value", "invalid sslnegotiation value",
      "invalid load_balance_hosts value",
      "invalid integer value", "invalid port number", "invalid connection option", "value \"require\" invalid when",
      "weak sslmode",
      "root certificate file", "could not read root certificate file", "could not read certificate file",
      "could not open certificate file", "could not load private key file", "private key file",
      "could not load SSL certificate", "could not load SSL engine", "certificate present, but not private key",
      "certificate does not match private key", "could not get home directory to locate root certificate file",
      "certificate verify failed", "server certificate for", "does not match host name",
      "host name must be specified for a verified SSL connection", "server does not support SSL, but SSL was required",
      "invalid value for parameter",
    ].contains { message.contains($0) }
  }

  /// Cuts out the value of a setting that libpq rejects: `invalid sslmode value: "…"`.
  static func withoutValue(_ message: String) -> String {
    guard let start = message.firstRange(of: "invalid ")?.upperBound,
      let first = message[start...].firstIndex(of: "\"")
    else { return message }
    let rest = message[message.index(after: first)...]
    let end = rest.firstRange(of: "\" for ")?.lowerBound ?? rest.lastIndex(of: "\"") ?? rest.endIndex
    return message[..<first] + "\"…" + rest[end...]
  }
}
