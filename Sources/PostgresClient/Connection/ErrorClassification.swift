extension PostgresError.Kind {
  /// What the caller can do about a SQLSTATE. The classes are those of PostgreSQL 15's appendix A.
  ///
  /// - Parameters:
  ///   - sqlState: nil when the connection was lost without a reply.
  ///   - function: the server's C function that raised the error. It distinguishes an outdated plan from other causes
  ///     of 0A000 whatever the server's language.
  ///   - isConnecting: while a session is opened, no data can be at fault. Servers and poolers refuse sessions for many
  ///     transient reasons; only errors about the login, the database, the role or a setting need a person.
  init(sqlState: String?, function: String? = nil, isConnecting: Bool = false) {
    guard let sqlState, sqlState.utf8.count == 5 else {
      self = .transient
      return
    }
    if isConnecting {
      self = ["0A", "22", "28", "3D", "42"].contains(sqlState.prefix(2)) ? .permanent : .transient
    } else {
      self = Self.exact(sqlState, function: function) ?? Self.byClass(sqlState.prefix(2))
    }
  }

  private static func exact(_ sqlState: String, function: String?) -> Self? {
    switch sqlState {
    case "25006": .reconnect
    case "26000": .reprepare
    case "0A000" where function == "RevalidateCachedQuery": .reprepare
    // A session ended or a lock was refused by a timeout; an object is in use.
    case "25P03", "55P03", "55006": .transient
    // A constraint fails at COMMIT: it fails again.
    case "40002": .poison
    default: nil
    }
  }

  private static func byClass(_ sqlClass: Substring) -> Self {
    switch sqlClass {
    case "08", "40", "53", "57", "58": .transient
    // Cardinality, data, integrity, program limits, a view's check option.
    case "21", "22", "23", "44", "54": .poison
    // Raised by the host's triggers and functions.
    case "P0", "38", "39": .poison
    default: .permanent
    }
  }
}

enum ErrorText {
  private static let maxLength = 500

  /// The primary message in one line, without quoted input for the classes of errors that quote input.
  static func primary(_ message: String, sqlState: String?) -> String {
    var text = firstLine(message)
    // Syntax errors quote the statements that a function composed.
    if let sqlState, sqlState.hasPrefix("22") || sqlState == "42601" { text = withoutQuotation(text) }
    return shortened(text)
  }

  /// Cuts from the first to the last quotation mark, because the quotation may contain such marks, and the bytes that
  /// 22021 lists after the quotation.
  static func withoutQuotation(_ message: String) -> String {
    guard let first = message.firstIndex(of: "\"") else { return message }
    guard let last = message.lastIndex(of: "\""), last != first else { return message[..<first] + "…" }
    let tail = message[message.index(after: last)...]
    return message[..<first] + "\"…\"" + (tail.contains("0x") ? "" : tail)
  }

  /// The message of a lost or refused connection, without the advice that libpq adds on indented lines.
  static func connection(_ message: String) -> String {
    let lines = message.split(separator: "\n").filter { !$0.hasPrefix("\t") && !$0.hasPrefix("LOCATION:") }
    let text = lines.joined(separator: "; ")
    return shortened(text.isEmpty ? "connection lost" : text)
  }

  /// The SQLSTATE of the last `FATAL:  28P01: …` in a verbose connection message, the only place where libpq 15 gives
  /// it.
  static func sqlState(inVerbose message: String) -> String? {
    var found: String?
    for line in message.split(separator: "\n") {
      var rest = line[...]
      while let colon = rest.firstIndex(of: ":") {
        rest = rest[rest.index(after: colon)...]
        guard rest.hasPrefix("  ") else { continue }
        let candidate = rest.dropFirst(2).prefix(5)
        let isCode =
          candidate.utf8.count == 5 && candidate.utf8.allSatisfy { (48...57).contains($0) || (65...90).contains($0) }
        if isCode, rest.dropFirst(7).hasPrefix(":") { found = String(candidate) }
      }
    }
    return found
  }

  private static func firstLine(_ text: String) -> String { String(text.prefix { $0 != "\n" }) }

  private static func shortened(_ text: String) -> String {
    // A character may consist of any number of bytes.
    guard text.utf8.count > maxLength else { return text }
    var short = String(text.prefix(maxLength - 1))
    while short.utf8.count > 4 * maxLength { short.unicodeScalars.removeLast() }
    return short + "…"
  }
}
