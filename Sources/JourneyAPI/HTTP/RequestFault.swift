import HTTPTypes
import NIOCore
import NIOHTTP1

/// What is wrong with the head of a request before anything looks at what it asks for.
///
/// A proxy before this server and this server have to agree on where a request ends and whom it is for. Whatever two
/// programs could read in two ways is refused, so that nobody puts a request into another user's connection.
enum RequestFault {
  static func of(_ head: HTTPRequestHead) -> Problem? {
    guard head.version == .http1_1 || head.version == .http1_0 else {
      return Problem(.httpVersionNotSupported, "HTTP/1.1 is spoken here")
    }
    let hosts = head.headers["host"]
    guard hosts.count == 1 || hosts.isEmpty && head.version == .http1_0 else {
      return .malformed("Host", hosts.isEmpty ? "it is missing" : "it is given \(hosts.count) times")
    }
    if let host = hosts.first, !host.utf8.allSatisfy(hostBytes.contains) {
      return .malformed("Host", "it is no name or address with or without a port")
    }
    let lengths = head.headers["content-length"]
    if lengths.count > 1 { return .malformed("Content-Length", "it is given \(lengths.count) times") }
    if let length = lengths.first,
      length.isEmpty || length.utf8.count > 18 || !length.utf8.allSatisfy({ (0x30...0x39).contains($0) })
    {
      return .malformed("Content-Length", "it is no number of bytes")
    }
    let codings = head.headers["transfer-encoding"]
    if !codings.isEmpty {
      guard lengths.isEmpty else { return .malformed("Transfer-Encoding", "it comes together with Content-Length") }
      guard head.version == .http1_1, codings.count == 1, codings[0].lowercased() == "chunked" else {
        return .malformed("Transfer-Encoding", "chunked is taken here, once, with HTTP/1.1")
      }
    }
    for (_, value) in head.headers where value.utf8.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F }) {
      return Problem(.badRequest, "a header holds a control character")
    }
    return ofTarget(head, host: hosts.first)
  }

  private static func ofTarget(_ head: HTTPRequestHead, host: String?) -> Problem? {
    let target = head.uri
    guard target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      return .malformed("request line", "the target is not ASCII text without spaces")
    }
    if target.hasPrefix("/") || head.method == .OPTIONS && target == "*" || head.method == .CONNECT { return nil }
    // The absolute form names the host a second time.
    for scheme in ["http://", "https://"] where target.lowercased().hasPrefix(scheme) {
      let authority = target.dropFirst(scheme.count).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
      guard let host, !authority.isEmpty, authority.lowercased() == host.lowercased() else {
        return .malformed("request line", "the target names another host than the Host header")
      }
      return nil
    }
    return .malformed("request line", "the target begins with neither / nor http://")
  }

  private static let hostBytes = Set(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:.-_[]~%".utf8)

  /// What the parser could not read.
  static func of(_ error: any Error) -> Problem {
    switch error as? HTTPParserError {
    case .headerOverflow:
      Problem(.requestHeaderFieldsTooLarge, "the head of a request has at most 32 KiB and 100 fields of 12 KiB each")
    case .invalidVersion: Problem(.httpVersionNotSupported, "HTTP/1.1 is spoken here")
    case .invalidChunkSize: Problem(.badRequest, "the size of a chunk cannot be read")
    case .invalidMethod: .malformed("request line", "the method cannot be read")
    case .invalidURL, .invalidHost, .invalidPort, .invalidPath, .invalidQueryString, .invalidFragment:
      .malformed("request line", "the target cannot be read")
    case .invalidContentLength, .unexpectedContentLength:
      .malformed("Content-Length", "it contradicts itself or the transfer encoding")
    case .invalidHeaderToken: Problem(.badRequest, "a header cannot be read")
    default: Problem(.badRequest, "this is not HTTP/1.1, or it is cut off")
    }
  }
}

extension Problem {
  fileprivate static func malformed(_ field: String, _ message: String) -> Problem {
    Problem(.badRequest, "the request is malformed", errors: [Detail(field: field, message: message)])
  }
}
