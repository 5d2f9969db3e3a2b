/// The parts of an AMQP URI (https://www.rabbitmq.com/docs/uri-spec), with several hosts allowed as in RabbitMQ's own
/// clients.
///
/// No error quotes any part of it, because any part may contain a piece of a password that is not percent-encoded.
struct AMQPURI {
  private(set) var isSecure = false
  private(set) var user: String?
  private(set) var password: String?
  private(set) var endpoints: [AMQPConnectionSettings.Endpoint] = []
  private(set) var virtualHost = "/"
  private(set) var parameters: [(String, String)] = []
  /// Whether a parameter's name cannot be a piece of an unencoded password.
  private var namesParameters = false

  static func error(_ message: String) -> AMQPError {
    AMQPError(.invalidURI, operation: "read the AMQP URI", message: message)
  }

  init(_ uri: String) throws(AMQPError) {
    guard let colon = uri.firstIndex(of: ":"), uri[colon...].hasPrefix("://") else {
      throw Self.error("it does not start with amqp:// or amqps://")
    }
    switch uri[..<colon].lowercased() {
    case "amqp": isSecure = false
    case "amqps": isSecure = true
    default: throw Self.error("the scheme is neither amqp nor amqps")
    }
    var rest = uri[colon...].dropFirst(3)
    guard !rest.contains("#") else { throw Self.error("a '#' has to be written %23") }
    // An unencoded '/' or '?' ends a password early, and its rest looks like a host, a vhost or a parameter. An '@' is
    // valid only in a parameter behind user and password: `?cacertfile=/a@b.pem`.
    let authority = rest.prefix { $0 != "/" && $0 != "?" }
    let tail = rest[authority.endIndex...]
    if authority.contains("@") ? tail.prefix(while: { $0 != "?" }).contains("@") : tail.contains("@") {
      throw Self.error(
        "a '@' stands after a '/' or '?': in user, password and vhost these are written %40, %2F and %3F")
    }
    if let question = rest.firstIndex(of: "?") {
      // An '@' there may end an unencoded password.
      namesParameters = Self.endsBeforeParameters(rest[..<question]) && !rest[question...].contains("@")
      try readParameters(rest[rest.index(after: question)...])
      rest = rest[..<question]
    }
    if let slash = rest.firstIndex(of: "/") {
      try readVirtualHost(rest[rest.index(after: slash)...])
      rest = rest[..<slash]
    }
    if let at = rest.lastIndex(of: "@") {
      try readUserInfo(rest[..<at])
      rest = rest[rest.index(after: at)...]
    }
    for authority in rest.split(separator: ",", omittingEmptySubsequences: false) {
      endpoints.append(try readEndpoint(authority))
    }
  }

  static let parameters = [
    "heartbeat", "connection_timeout", "frame_max", "auth_mechanism", "cacertfile", "certfile", "keyfile", "verify",
  ]

  /// Parameters of other programs, and what to write here instead.
  private static let unsupportedParameters = [
    "channel_max": "leave it out", "channelmax": "leave it out", "locale": "leave it out",
    "framemax": "write frame_max",
    "socket_timeout": "write connection_timeout, in milliseconds", "heartbeat_interval": "write heartbeat, in seconds",
    "connection_attempts": "leave it out: the adapter goes on trying",
    "retry_delay": "leave it out: amqp.reconnectSeconds is the longest pause",
    "blocked_connection_timeout": "leave it out", "ssl": "write amqps:// for amqp://",
    "ssl_options": "write cacertfile, certfile, keyfile and verify",
    "server_name_indication": "leave it out: the host's name is sent",
    "fail_if_no_peer_cert": "leave it out; verify says whether the broker is checked",
    "password": "write user and password before the host, user:password@host", "connection_name": "leave it out",
  ]

  /// Whether the authority is complete before `?`. If not, the query may contain the rest of an unencoded password.
  private static func endsBeforeParameters(_ authority: Substring) -> Bool {
    if authority.contains("@") { return true }
    return authority.prefix { $0 != "/" }.split(separator: ",").allSatisfy { host in
      if host.hasPrefix("[") { return host.allSatisfy { $0.isHexDigit || "[]:.".contains($0) } }
      return host.split(separator: ":").dropFirst().allSatisfy { $0.allSatisfy(\.isNumber) }
    }
  }

  /// Names a parameter unless its name may be a piece of a password.
  private func named(_ key: String) -> String { canName(key) ? "the parameter \(key)" : "a parameter" }

  private func canName(_ key: String) -> Bool {
    if Self.parameters.contains(key) || Self.unsupportedParameters[key.lowercased()] != nil { return true }
    let isName = key.wholeMatch(of: /[A-Za-z0-9_.-]{1,40}/) != nil
    // Text after a password parameter may belong to the password.
    return namesParameters && isName
      && !parameters.contains { $0.0.lowercased().contains("password") }
  }

  private mutating func readParameters(_ query: Substring) throws(AMQPError) {
    for pair in query.split(separator: "&") {
      guard let equals = pair.firstIndex(of: "=") else {
        // The rest of a password with a '?' has none either.
        throw Self.error(
          "\(Self.parameters.contains(String(pair)) ? "the parameter \(pair)" : "a parameter") has no value")
      }
      let key = String(pair[..<equals])
      guard !parameters.contains(where: { $0.0 == key }) else { throw Self.error("\(named(key)) is given twice") }
      guard Self.parameters.contains(key) else { throw unknown(key) }
      parameters.append((key, try Self.percentDecoded(pair[pair.index(after: equals)...], part: named(key))))
    }
  }

  private func unknown(_ key: String) -> AMQPError {
    let known = Self.parameters.joined(separator: ", ")
    if let advice = Self.unsupportedParameters[key.lowercased()] {
      return Self.error("the parameter \(key) is another program's: \(advice). Known are \(known)")
    }
    return Self.error("an unknown parameter\(canName(key) ? ", \(key)" : ""); known are \(known)")
  }

  private mutating func readVirtualHost(_ path: Substring) throws(AMQPError) {
    guard !path.contains("/") else { throw Self.error("a '/' in the vhost has to be written %2F") }
    if !path.isEmpty { virtualHost = try Self.percentDecoded(path, part: "the vhost") }
  }

  private mutating func readUserInfo(_ info: Substring) throws(AMQPError) {
    guard !info.contains("@") else { throw Self.error("a '@' in user or password has to be written %40") }
    if let colon = info.firstIndex(of: ":") {
      password = try Self.percentDecoded(info[info.index(after: colon)...], part: "the password")
      user = try Self.percentDecoded(info[..<colon], part: "the user")
    } else {
      user = try Self.percentDecoded(info, part: "the user")
    }
  }

  private func readEndpoint(_ authority: Substring) throws(AMQPError) -> AMQPConnectionSettings.Endpoint {
    var host = authority
    var port: Substring?
    if authority.hasPrefix("[") {
      guard let bracket = authority.firstIndex(of: "]") else { throw Self.error("an IPv6 address lacks its ']'") }
      host = authority[authority.index(after: authority.startIndex)..<bracket]
      let rest = authority[authority.index(after: bracket)...]
      guard rest.isEmpty || rest.hasPrefix(":") else { throw Self.error("after ']' comes ':' and the port") }
      port = rest.isEmpty ? nil : rest.dropFirst()
    } else if let colon = authority.firstIndex(of: ":") {
      host = authority[..<colon]
      port = authority[authority.index(after: colon)...]
    }
    guard !host.isEmpty else { throw Self.error("a host is missing") }
    let name = try Self.percentDecoded(host, part: "the host")
    guard let port else { return .init(host: name, port: isSecure ? 5671 : 5672) }
    guard let number = Int(port), (1...65_535).contains(number) else {
      // The text is not repeated: an unescaped '/' or '@' in a password ends up here.
      throw Self.error("a port is not a number in 1...65535")
    }
    return .init(host: name, port: number)
  }

  static func integer(_ key: String, _ value: String, in range: ClosedRange<Int>) throws(AMQPError) -> Int {
    guard let number = Int(value), range.contains(number) else {
      throw error("\(key) is not a whole number in \(range.lowerBound)...\(range.upperBound)")
    }
    return number
  }

  static func percentDecoded(_ text: Substring, part: String) throws(AMQPError) -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard let high = rest.popFirst().flatMap(hexDigit), let low = rest.popFirst().flatMap(hexDigit) else {
        throw error("\(part) has a '%' without two hexadecimal digits after it")
      }
      bytes.append(high << 4 | low)
    }
    // The library and the protocol's logs take C strings, which a zero byte would cut.
    guard let decoded = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
      throw error("\(part) is not UTF-8 text without zero bytes")
    }
    return decoded
  }

  static func percentEncoded(_ text: String) -> String {
    text.utf8.map { byte in
      let character = Character(Unicode.Scalar(byte))
      if character.isASCII, character.isLetter || character.isNumber || "-._~".contains(character) {
        return String(character)
      }
      return (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
    }.joined()
  }

  private static func hexDigit(_ byte: UInt8) -> UInt8? {
    Character(Unicode.Scalar(byte)).hexDigitValue.map { UInt8($0) }
  }
}
