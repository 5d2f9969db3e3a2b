import Dispatch
import Foundation
import Glibc

/// Publishes one message with hand-written frames (AMQP 0-9-1, section 4.2), for messages that no regular client would
/// send.
enum RawPublisher {
  struct Failure: Error, CustomStringConvertible {
    var description: String
  }

  /// - Parameters:
  ///   - url: `amqp://user:password@host:port/vhost`, percent-encoded.
  ///   - headers: an encoded field table with its length.
  /// - Throws: `Failure` if the broker does not confirm.
  @concurrent
  static func publish(
    to url: String, exchange: String, routingKey: String, contentType: String, headers: [UInt8], body: [UInt8]
  ) async throws {
    try await withCheckedThrowingContinuation { continuation in
      // Blocks on the socket, so it must not run on the cooperative pool.
      DispatchQueue.global().async {
        continuation.resume(
          with: Result {
            var connection = try Connection(url)
            defer { connection.close() }
            try connection.publish(exchange, routingKey, contentType, headers, body)
          })
      }
    }
  }

  /// A field table: the `text` fields, then a field `deep` with `depth` nested tables.
  static func nestedHeaders(depth: Int, text: [(name: String, value: String)]) -> [UInt8] {
    var fields = Bytes()
    for field in text {
      fields.shortString(field.name)
      fields.octet(UInt8(ascii: "S"))
      fields.longString(Array(field.value.utf8))
    }
    fields.shortString("deep")
    fields.octet(UInt8(ascii: "F"))
    for level in stride(from: depth, through: 0, by: -1) {
      // An empty name, the type and the table's length: six bytes per level.
      fields.long(UInt32(6 * level))
      if level > 0 { fields.all += [0, UInt8(ascii: "F")] }
    }
    var table = Bytes()
    table.longString(fields.all)
    return table.all
  }

  struct Bytes {
    var all: [UInt8] = []
    mutating func octet(_ value: UInt8) { all.append(value) }
    mutating func short(_ value: UInt16) { all += [UInt8(value >> 8), UInt8(value & 0xFF)] }
    mutating func long(_ value: UInt32) {
      short(UInt16(value >> 16))
      short(UInt16(value & 0xFFFF))
    }
    mutating func shortString(_ text: String) {
      octet(UInt8(text.utf8.count))
      all += Array(text.utf8)
    }
    mutating func longString(_ bytes: [UInt8]) {
      long(UInt32(bytes.count))
      all += bytes
    }
  }

  private struct Connection {
    private let socket: Int32

    init(_ url: String) throws {
      guard let parts = URLComponents(string: url), let port = parts.port, let user = parts.user,
        let password = parts.password
      else {
        throw Failure(description: "not an AMQP URL")
      }
      socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = UInt16(port).bigEndian
      address.sin_addr.s_addr = inet_addr("127.0.0.1")
      let isConnected = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
      }
      guard isConnected else { throw Failure(description: "no connection to port \(port)") }
      // The broker needs seconds for such headers, and much longer on a busy machine.
      var timeout = timeval(tv_sec: 120, tv_usec: 0)
      setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
      try write(Array("AMQP".utf8) + [0, 0, 9, 1])
      try expect(10, 10)
      try method(channel: 0, 10, 11) {
        $0.long(0)
        $0.shortString("PLAIN")
        $0.longString([0] + Array(user.utf8) + [0] + Array(password.utf8))
        $0.shortString("en_US")
      }
      try expect(10, 30)
      // One channel: zero would mean "no limit", which the broker refuses.
      try method(channel: 0, 10, 31) {
        $0.short(1)
        $0.long(131_072)
        $0.short(0)
      }
      try method(channel: 0, 10, 40) {
        $0.shortString(String(parts.path.dropFirst()))
        $0.shortString("")
        $0.octet(0)
      }
      try expect(10, 41)
      try method(20, 10) { $0.shortString("") }
      try expect(20, 11)
      try method(85, 10) { $0.octet(0) }
      try expect(85, 11)
    }

    mutating func close() { Glibc.close(socket) }

    func publish(_ exchange: String, _ routingKey: String, _ contentType: String, _ headers: [UInt8], _ body: [UInt8])
      throws
    {
      try method(60, 40) {
        $0.short(0)
        $0.shortString(exchange)
        $0.shortString(routingKey)
        $0.octet(0)
      }
      var header = Bytes()
      header.short(60)
      header.short(0)
      header.long(0)
      header.long(UInt32(body.count))
      // Content type, headers, delivery mode.
      header.short(1 << 15 | 1 << 13 | 1 << 12)
      header.shortString(contentType)
      header.all += headers
      header.octet(2)
      try frame(2, channel: 1, header.all)
      try frame(3, channel: 1, body)
      try expect(60, 80)
    }

    private func method(channel: UInt16 = 1, _ classID: UInt16, _ methodID: UInt16, _ fill: (inout Bytes) -> Void)
      throws
    {
      var bytes = Bytes()
      bytes.short(classID)
      bytes.short(methodID)
      fill(&bytes)
      try frame(1, channel: channel, bytes.all)
    }

    private func frame(_ kind: UInt8, channel: UInt16, _ payload: [UInt8]) throws {
      var bytes = Bytes()
      bytes.octet(kind)
      bytes.short(channel)
      bytes.longString(payload)
      bytes.octet(0xCE)
      try write(bytes.all)
    }

    private func write(_ bytes: [UInt8]) throws {
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        guard count > 0 else { throw Failure(description: "the broker closed the connection") }
        rest = rest.dropFirst(count)
      }
    }

    private func expect(_ classID: UInt16, _ methodID: UInt16) throws {
      while true {
        let head = try read(7)
        let size = head[3...6].reduce(0) { $0 << 8 | Int($1) }
        let payload = try read(size + 1)
        guard head[0] == 1 else { continue }
        let found = (UInt16(payload[0]) << 8 | UInt16(payload[1]), UInt16(payload[2]) << 8 | UInt16(payload[3]))
        guard found == (classID, methodID) else {
          let text = String(decoding: payload.dropLast(), as: UTF8.self)
          throw Failure(description: "wanted the method \((classID, methodID)), got \(found): \(text)")
        }
        return
      }
    }

    private func read(_ count: Int) throws -> [UInt8] {
      var bytes: [UInt8] = []
      while bytes.count < count {
        var buffer = [UInt8](repeating: 0, count: count - bytes.count)
        let got = recv(socket, &buffer, buffer.count, 0)
        guard got != 0 else { throw Failure(description: "the broker closed the connection") }
        guard got > 0 else {
          throw Failure(description: "no answer from the broker: \(String(cString: strerror(errno)))")
        }
        bytes += buffer[..<got]
      }
      return bytes
    }
  }
}
