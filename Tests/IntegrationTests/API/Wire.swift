import Foundation
import Glibc
import TestServers
import Testing

/// A connection on which a test sends raw bytes, and reads until the server closes it.
final class Wire: Sendable {
  let descriptor: Int32

  /// - Parameter from: the loopback address to connect from.
  init(_ port: UInt16, from source: String? = nil, silence: Int = 5) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var timeout = timeval(tv_sec: silence, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    if let source { try #require(Self.call(source, 0) { bind(self.descriptor, $0, $1) } == 0) }
    try #require(Self.call("127.0.0.1", port) { connect(self.descriptor, $0, $1) } == 0, "no connection to \(port)")
  }

  deinit { close(descriptor) }

  private static func call(_ host: String, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32)
    -> Int32
  {
    var place = sockaddr_in()
    place.sin_family = sa_family_t(AF_INET)
    place.sin_port = port.bigEndian
    place.sin_addr.s_addr = inet_addr(host)
    return withUnsafePointer(to: &place) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
  }

  func send(_ text: String) { send(Array(text.utf8)) }
  func send(_ bytes: [UInt8]) { _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }

  /// The next bytes; empty at the end or after some seconds without data.
  func read() -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    return count > 0 ? Array(buffer[..<count]) : []
  }

  /// Everything until the end, and whether the server closed the connection.
  func all() -> (text: String, isEnded: Bool) {
    var bytes: [UInt8] = []
    while true {
      var buffer = [UInt8](repeating: 0, count: 65_536)
      let count = recv(descriptor, &buffer, buffer.count, 0)
      guard count > 0 else { return (String(decoding: bytes, as: UTF8.self), count == 0) }
      bytes += buffer[..<count]
    }
  }

  /// Reads until `text` arrives. Returns whether it did.
  func reads(_ text: String) -> Bool {
    var seen = ""
    while !seen.contains(text) {
      let bytes = read()
      if bytes.isEmpty { return false }
      seen += String(decoding: bytes, as: UTF8.self)
    }
    return true
  }
}

/// An answer, parsed as a client does that knows its request. An unexpected body would put the client out of step.
struct WireAnswer {
  var status: Int
  var headers: [String: String] = [:]
  var body: String

  /// - Parameter methods: the methods of the requests, in order.
  /// - Returns: the answers, and the remaining text.
  static func parse(_ text: String, _ methods: [String]) -> (answers: [WireAnswer], rest: String) {
    var rest = text[...], answers: [WireAnswer] = []
    for method in methods {
      guard let end = rest.range(of: "\r\n\r\n") else { break }
      let lines = rest[..<end.lowerBound].components(separatedBy: "\r\n")
      let words = lines[0].split(separator: " ")
      guard words.count > 1, words[0] == "HTTP/1.1", let status = Int(words[1]) else { break }
      var answer = WireAnswer(status: status, body: "")
      for line in lines.dropFirst() {
        guard let colon = line.firstIndex(of: ":") else { continue }
        answer.headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(
          in: .whitespaces)
      }
      rest = rest[end.upperBound...]
      let length =
        method == "HEAD" || status == 304 || status == 204 ? 0 : Int(answer.headers["content-length"] ?? "") ?? 0
      answer.body = String(decoding: Array(rest.utf8.prefix(length)), as: UTF8.self)
      rest = Substring(decoding: Array(rest.utf8.dropFirst(length)), as: UTF8.self)
      answers.append(answer)
    }
    return (answers, String(rest))
  }
}

extension APIEnvironment {
  var port: UInt16 { UInt16(address.split(separator: ":").last ?? "") ?? 0 }

  /// The port of the probes.
  var probes: UInt16 {
    get throws {
      let text = program.standardError
      let line = try #require(text.split(separator: "\n").first { $0.contains("answering probes") })
      let range = try #require(line.range(of: "127.0.0.1:"))
      return try #require(UInt16(line[range.upperBound...].prefix { $0.isNumber }))
    }
  }
}
