@testable import AMQPClient
import ConnectionThreads
import Glibc
import Synchronization

struct ScriptError: Error, CustomStringConvertible {
  let description: String
}

/// A frame as the client sent it.
struct ClientFrame: Sendable {
  let type: UInt8
  let channel: UInt16
  let payload: [UInt8]

  var method: [UInt16] {
    guard type == 1, payload.count >= 4 else { return [] }
    return [UInt16(payload[0]) << 8 | UInt16(payload[1]), UInt16(payload[2]) << 8 | UInt16(payload[3])]
  }

  /// The 64-bit number after the method's ids: the tag of an ack.
  var tag: UInt64 { payload[4..<12].reduce(0) { $0 << 8 | UInt64($1) } }
}

/// A broker on a loopback port that does what a script says, connection by connection: for what a real one never does
/// on demand.
final class ScriptedBroker: Sendable {
  private let listener: Int32
  let port: Int
  private let failures = Mutex<[String]>([])

  /// - Parameter script: gets each connection and its number, from 1; the connection ends with it.
  init(_ script: @escaping @Sendable (Peer, Int) throws -> Void) throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let status = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        bind(listener, pointer, length) | listen(listener, 16) | getsockname(listener, pointer, &length)
      }
    }
    guard status == 0 else { throw ScriptError(description: "no loopback port") }
    self.listener = listener
    port = Int(UInt16(bigEndian: address.sin_port))
    NamedThread.startForConnection(name: "scripted") { [self] in
      var number = 0
      while case let descriptor = accept(listener, nil, nil), descriptor >= 0 {
        number += 1
        let (peer, current) = (Peer(descriptor), number)
        NamedThread.startForConnection(name: "peer") { [self] in
          do { try script(peer, current) } catch { failures.withLock { $0.append("connection \(current): \(error)") } }
          peer.close()
        }
      }
    }
  }

  /// What went wrong in the scripts so far; also ends the acceptance of connections.
  func stop() -> [String] {
    shutdown(listener, Int32(SHUT_RDWR))
    return failures.withLock { $0 }
  }

  func settings(heartbeat: Int = 60, name: String = "scripted") throws -> AMQPConnectionSettings {
    var settings = try AMQPConnectionSettings(
      uri: "amqp://guest:guest@127.0.0.1:\(port)/?heartbeat=\(heartbeat)", connectionName: name)
    settings.minReconnectDelay = .milliseconds(20)
    settings.maxReconnectDelay = .milliseconds(100)
    return settings
  }
}

/// One connection of a `ScriptedBroker`; belongs to its script.
final class Peer: @unchecked Sendable {
  private let descriptor: Int32

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  func close() { Glibc.close(descriptor) }

  func send(_ bytes: [UInt8]...) throws {
    for bytes in bytes {
      var sent = 0
      while sent < bytes.count {
        let count = bytes.withUnsafeBytes {
          Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
        }
        guard count > 0 else { throw ScriptError(description: "cannot send: error \(errno)") }
        sent += count
      }
    }
  }

  /// The next frame that is no heartbeat.
  func receive(seconds: Double = 20) throws -> ClientFrame {
    while true {
      let head = try read(7, seconds)
      let size = head[3...].reduce(0) { $0 << 8 | Int($1) }
      let payload = try read(size + 1, seconds)
      guard payload.last == 0xCE else { throw ScriptError(description: "a frame does not end with 0xCE") }
      if head[0] != 8 {
        return ClientFrame(type: head[0], channel: UInt16(head[1]) << 8 | UInt16(head[2]), payload: payload.dropLast())
      }
    }
  }

  /// Waits for heartbeats, which `receive` passes over, and answers each by one.
  func exchangeHeartbeats(_ count: Int) throws {
    for _ in 0..<count {
      try send(WireWriter.heartbeat)
      guard try read(8, 20) == [8, 0, 0, 0, 0, 0, 0, 0xCE] else {
        throw ScriptError(description: "expected a heartbeat")
      }
    }
  }

  @discardableResult
  func expect(_ classID: UInt16, _ methodID: UInt16) throws -> ClientFrame {
    let frame = try receive()
    guard frame.method == [classID, methodID] else {
      throw ScriptError(description: "expected method \(classID).\(methodID), got type \(frame.type) \(frame.method)")
    }
    return frame
  }

  func expectNothing(seconds: Double) throws {
    guard let frame = try? receive(seconds: seconds) else { return }
    throw ScriptError(description: "expected nothing, got type \(frame.type) \(frame.method)")
  }

  /// Everything up to the open channel.
  func handshake() throws {
    guard try read(8, 20) == Array("AMQP".utf8) + [0, 0, 9, 1] else {
      throw ScriptError(description: "no protocol header")
    }
    try send(
      WireWriter.method(10, 10, channel: 0) {
        $0.short(9)
        $0.long(0)
        $0.longString(Array("PLAIN".utf8))
        $0.longString(Array("en_US".utf8))
      })
    try expect(10, 11)
    try send(
      WireWriter.method(10, 30, channel: 0) {
        $0.short(2047)
        $0.long(131_072)
        $0.short(60)
      })
    try expect(10, 31)
    try expect(10, 40)
    try send(WireWriter.method(10, 41, channel: 0) { $0.shortString("") })
    try openChannel()
  }

  func openChannel() throws {
    try expect(20, 10)
    try send(WireWriter.method(20, 11) { $0.long(0) })
  }

  /// The client replaces its channel.
  func reopenChannel() throws {
    try expect(20, 40)
    try send(WireWriter.method(20, 41))
    try openChannel()
  }

  func acceptConsumer() throws {
    try handshake()
    try expect(60, 10)
    try send(WireWriter.method(60, 11))
    try expect(60, 20)
    try send(WireWriter.method(60, 21) { $0.shortString("tag") })
  }

  func acceptPublisher() throws {
    try handshake()
    try acceptConfirms()
  }

  func acceptConfirms() throws {
    try expect(85, 10)
    try send(WireWriter.method(85, 11))
  }

  /// Reads whole messages; each one is a method, a header and its bodies.
  func expectPublishes(_ count: Int) throws {
    for _ in 0..<count {
      try expect(60, 40)
      try skipContent()
    }
  }

  private func skipContent() throws {
    let header = try receive()
    var left = header.payload[4..<12].reduce(0) { $0 << 8 | Int($1) }
    while left > 0 { left -= try receive().payload.count }
  }

  /// Confirms every message until the client closes the connection.
  func confirmAll() throws {
    var sequence: UInt64 = 0
    while true {
      let frame = try receive()
      if frame.method == [10, 50] { return try send(WireWriter.method(10, 51, channel: 0)) }
      try skipContent()
      sequence += 1
      try send(WireWriter.confirm(sequence))
    }
  }

  /// Answers the client's goodbye, if it says one; ends when the client is gone.
  func untilClosed() throws {
    while true {
      guard let frame = try? receive() else { return }
      if frame.method == [10, 50] { return try send(WireWriter.method(10, 51, channel: 0)) }
    }
  }

  /// Reads nothing until the client has closed its side: a peer that hangs.
  func hangUntilClosed(seconds: Int32 = 30) {
    let peerClosed: Int16 = 0x2000  // POLLRDHUP, which the Glibc module leaves out
    var descriptors = pollfd(fd: descriptor, events: peerClosed, revents: 0)
    poll(&descriptors, 1, seconds * 1000)
  }

  private func read(_ count: Int, _ seconds: Double) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var filled = 0
    while filled < count {
      var descriptors = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&descriptors, 1, Int32(seconds * 1000)) > 0 else {
        throw ScriptError(description: "the client sent nothing for \(seconds) s")
      }
      let got = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + filled, count - filled, 0) }
      guard got > 0 else { throw ScriptError(description: "the client closed the connection") }
      filled += got
    }
    return bytes
  }
}
