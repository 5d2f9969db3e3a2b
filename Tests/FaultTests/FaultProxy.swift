import Foundation
import Glibc
import Synchronization

/// A TCP proxy on the loopback interface between the adapter and one server, for injecting network faults.
///
/// It understands the framing of the protocol, so a fault can be injected at a named point of the protocol. Safe to use
/// from any task.
final class FaultProxy: Sendable {
  /// The state of the network, for existing and new connections.
  enum Weather: Sendable {
    case fair
    /// Connections stay open, but no data passes: a cut cable.
    case silent
    /// New connections are refused; existing ones continue.
    case refusing
    /// New connections get this answer to their first data and are closed; existing ones continue.
    case answering([UInt8])
    /// Each read of at most `bytes` is delayed.
    case slow(delay: Duration, bytes: Int)
  }

  private struct State {
    var weather = Weather.fair
    var open: [Int: (client: Int32, server: Int32)] = [:]
    var isClosed = false
    var trap: Trap?
    var fired = 0
  }

  let port: Int
  private let target: Int
  private let listener: Int32
  private let wire: WireProtocol
  private let state = Mutex(State())
  private let changed = NSCondition()

  /// - Parameter target: a port of the loopback interface.
  init(to target: Int, _ wire: WireProtocol) throws {
    self.target = target
    self.wire = wire
    (listener, port) = try Sockets.listen()
    Thread.detachNewThread { [self] in accept() }
  }

  // MARK: Faults

  var weather: Weather {
    get { state.withLock(\.weather) }
    set {
      changed.lock()
      state.withLock { $0.weather = newValue }
      changed.broadcast()
      changed.unlock()
    }
  }

  /// Resets all connections. New ones are accepted.
  func cut() {
    // Shutdown first: it wakes the threads that wait for data, which then close.
    for pair in state.withLock({ Array($0.open.values) }) {
      for socket in [pair.client, pair.server] {
        Sockets.resetAtClose(socket)
        shutdown(socket, Int32(SHUT_RDWR))
      }
    }
  }

  /// Runs the trap's action when its point is passed for the given time.
  func set(_ trap: Trap?) { state.withLock { $0.trap = trap } }

  /// How many traps have fired.
  var fired: Int { state.withLock(\.fired) }

  /// The number of open connections.
  var connections: Int { state.withLock { $0.open.count } }

  func close() {
    state.withLock { $0.isClosed = true }
    shutdown(listener, Int32(SHUT_RDWR))
    Glibc.close(listener)
    cut()
    weather = .fair
  }

  // MARK: Connections

  private func accept() {
    var number = 0
    while case let client = Glibc.accept(listener, nil, nil), client >= 0 {
      number += 1
      var server: Int32?
      switch weather {
      case .refusing: break
      case .answering(let answer):
        Thread.detachNewThread { Sockets.answer(client, answer) }
        continue
      default: server = Sockets.connect(to: target)
      }
      guard let server else {
        Sockets.resetAtClose(client)
        Glibc.close(client)
        continue
      }
      let connection = ProxyConnection(number, client: client, server: server, wire)
      state.withLock { $0.open[connection.number] = (client, server) }
      Thread.detachNewThread { [self] in pump(connection, .toServer) }
      Thread.detachNewThread { [self] in pump(connection, .toClient) }
    }
  }

  /// Forwards one direction of a connection until either side ends.
  private func pump(_ connection: ProxyConnection, _ direction: Direction) {
    let (source, sink) =
      direction == .toServer ? (connection.client, connection.server) : (connection.server, connection.client)
    var framer = Framer(wire, direction)
    var buffer = [UInt8](repeating: 0, count: 65_536)
    /// Stopped by a trap: neither later data nor data that was already read is forwarded.
    var isHeld = false
    while true {
      var limit = buffer.count
      if case .slow(let delay, let bytes) = weather {
        Thread.sleep(forTimeInterval: delay / .seconds(1))
        limit = min(limit, bytes)
      }
      let count = recv(source, &buffer, limit, 0)
      guard count > 0, awaitPassage() else { break }
      if isHeld { continue }
      var out: [UInt8] = []
      for message in framer.messages(buffer[..<count]) {
        let verdict = evaluate(message, connection, direction)
        if verdict != .hold { out += message }
        if verdict == .passThenInject {
          _ = Sockets.send(out, to: sink)
          out = []
          inject()
        } else if verdict == .hold {
          isHeld = true
          inject()
          break
        }
      }
      guard Sockets.send(out, to: sink) else { break }
    }
    finish(connection)
  }

  /// Waits while no data may pass.
  /// - Returns: whether forwarding continues.
  private func awaitPassage() -> Bool {
    changed.lock()
    defer { changed.unlock() }
    while case .silent = state.withLock(\.weather) {
      if state.withLock(\.isClosed) { return false }
      changed.wait()
    }
    return true
  }

  private enum Verdict {
    case pass
    case passThenInject
    case hold
  }

  private func evaluate(_ message: ArraySlice<UInt8>, _ connection: ProxyConnection, _ direction: Direction) -> Verdict
  {
    let points = connection.points(of: message, direction)
    guard !points.isEmpty else { return .pass }
    return state.withLock { state in
      guard let trap = state.trap, points.contains(trap.point) else { return .pass }
      if trap.countdown > 1 {
        state.trap?.countdown -= 1
        return .pass
      }
      return trap.point.isAfterPassing ? .passThenInject : .hold
    }
  }

  private func inject() {
    let action = state.withLock { state in
      defer { state.trap = nil }
      return state.trap?.action
    }
    action?()
    state.withLock { $0.fired += 1 }
  }

  /// The direction that ends first ends the other one; the second one closes the sockets.
  private func finish(_ connection: ProxyConnection) {
    for socket in [connection.client, connection.server] { shutdown(socket, Int32(SHUT_RDWR)) }
    guard connection.isLast() else { return }
    state.withLock { $0.open[connection.number] = nil }
    Glibc.close(connection.client)
    Glibc.close(connection.server)
  }
}

/// Socket operations of the proxy.
enum Sockets {
  struct Failure: Error, CustomStringConvertible {
    var description: String
  }

  static func listen() throws -> (socket: Int32, port: Int) {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = loopback(0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let status = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        bind(listener, pointer, length) | Glibc.listen(listener, 64) | getsockname(listener, pointer, &length)
      }
    }
    guard status == 0 else { throw Failure(description: "no loopback port: error \(errno)") }
    return (listener, Int(UInt16(bigEndian: address.sin_port)))
  }

  static func connect(to port: Int) -> Int32? {
    let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = loopback(port)
    let isConnected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
    guard isConnected else {
      Glibc.close(server)
      return nil
    }
    var yes: Int32 = 1
    setsockopt(server, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
    return server
  }

  static func send(_ bytes: [UInt8], to socket: Int32) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(socket, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return false }
      sent += count
    }
    return true
  }

  /// Waits for the peer's first data, answers, and closes.
  static func answer(_ client: Int32, _ answer: [UInt8]) {
    var buffer = [UInt8](repeating: 0, count: 1024)
    if recv(client, &buffer, buffer.count, 0) > 0 {
      _ = send(answer, to: client)
      shutdown(client, Int32(SHUT_WR))
      while recv(client, &buffer, buffer.count, 0) > 0 {}
    }
    Glibc.close(client)
  }

  /// Closing the socket sends a reset.
  static func resetAtClose(_ socket: Int32) {
    var lingering = linger(l_onoff: 1, l_linger: 0)
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &lingering, socklen_t(MemoryLayout<linger>.size))
  }

  private static func loopback(_ port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return address
  }
}
