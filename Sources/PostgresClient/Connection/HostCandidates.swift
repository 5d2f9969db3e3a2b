import Glibc

/// The addresses to try in turn. libpq tries a list of hosts only in its blocking call, which hides the SQLSTATE of a
/// refusal. So each address gets its own attempt and deadline.
enum HostCandidates {
  /// libpq options to set for one attempt, e.g. `host`, `hostaddr`, `port`.
  typealias Candidate = [String: String]

  /// - Throws: `permanent` when the numbers of hosts, addresses and ports do not match.
  static func of(_ options: [String: String]) throws(PostgresError) -> [Candidate] {
    try named(options).flatMap { candidate -> [Candidate] in
      // A path is a directory of Unix sockets. Names are resolved here, so that all their addresses are tried.
      guard candidate["hostaddr"] == nil, let host = candidate["host"], !host.isEmpty, !host.hasPrefix("/"),
        !host.hasPrefix("@")
      else { return [candidate] }
      let resolved = resolve(host)
      // Unresolved: libpq's attempt reports why.
      return resolved.isEmpty ? [candidate] : resolved.map { candidate.merging(["hostaddr": $0]) { $1 } }
    }
  }

  /// The hosts as they are named.
  ///
  /// - Throws: as `of` does.
  static func named(_ options: [String: String]) throws(PostgresError) -> [Candidate] {
    let hosts = list(options["host"])
    let addresses = list(options["hostaddr"])
    let ports = list(options["port"])
    let count = max(hosts.count, addresses.count)
    guard count > 0 else { return [[:]] }
    guard addresses.isEmpty || hosts.isEmpty || addresses.count == hosts.count, ports.count <= 1 || ports.count == count
    else {
      throw PostgresError.invalidString("the numbers of hosts, addresses and ports differ")
    }
    return (0..<count).map { index in
      var candidate: Candidate = [:]
      if !ports.isEmpty { candidate["port"] = ports.count == 1 ? ports[0] : ports[index] }
      if !hosts.isEmpty { candidate["host"] = hosts[index] }
      if !addresses.isEmpty { candidate["hostaddr"] = addresses[index] }
      return candidate
    }
  }

  private static func list(_ text: String?) -> [String] {
    guard let text, !text.isEmpty else { return [] }
    return text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
  }

  private static func resolve(_ host: String) -> [String] {
    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = AI_ADDRCONFIG
    var first: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, nil, &hints, &first) == 0 else { return [] }
    defer { freeaddrinfo(first) }
    var found: [String] = []
    var next = first
    while let entry = next {
      var name = [CChar](repeating: 0, count: Int(NI_MAXHOST))
      let failure = getnameinfo(
        entry.pointee.ai_addr, entry.pointee.ai_addrlen, &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST)
      if failure == 0 {
        let text = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if !found.contains(text) { found.append(text) }
      }
      next = entry.pointee.ai_next
    }
    return found
  }
}
