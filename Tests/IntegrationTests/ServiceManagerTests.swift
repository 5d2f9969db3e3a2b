import Foundation
import Glibc
import Journey
import Logging
import Testing

@testable import JourneyCLI

/// What the service manager hears, on a real socket. The whole service under systemd: scripts/dist-test.
@Suite(.timeLimit(.minutes(1))) struct ServiceManagerTests {
  /// The manager's end of the socket.
  private final class Manager: Sendable {
    let descriptor: Int32
    let name: String

    /// - Parameter name: as in NOTIFY_SOCKET.
    init(_ name: String) throws {
      self.name = name
      descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
      let bytes = Array((name.hasPrefix("@") ? "\0\(name.dropFirst())" : name).utf8)
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
      let length = MemoryLayout.offset(of: \sockaddr_un.sun_path)! + bytes.count
      let isBound = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(length)) == 0 }
      }
      try #require(isBound)
    }

    deinit { close(descriptor) }

    /// Waits on a thread of its own.
    func next() async -> String {
      await withCheckedContinuation { continuation in
        DispatchQueue.global().async { [descriptor] in
          var buffer = [UInt8](repeating: 0, count: 4096)
          let count = recv(descriptor, &buffer, buffer.count, 0)
          continuation.resume(returning: String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self))
        }
      }
    }

    func next(where isMeant: (String) -> Bool) async -> String {
      while true {
        let message = await next()
        if isMeant(message) { return message }
      }
    }
  }

  private func socket(_ manager: Manager, watchdog: String = "150000", pid: Int32 = getpid()) throws -> NotifySocket {
    try #require(
      NotifySocket(environment: [
        "NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": watchdog, "WATCHDOG_PID": "\(pid)",
      ]))
  }

  private func start(_ socket: NotifySocket, _ liveness: Liveness) -> Task<Void, any Error> {
    let manager = ServiceManager(
      socket, liveness: liveness, status: { "consuming" }, logger: Logger(label: "test"))
    return Task { try await manager.run() }
  }

  @Test(arguments: ["@journey-\(UUID())", "\(NSTemporaryDirectory())journey-\(UUID().uuidString.prefix(8))"])
  func theManagerHearsThatTheProgramWorksAndStops(name: String) async throws {
    let manager = try Manager(name)
    defer { unlink(name) }
    let service = start(try socket(manager), Liveness())
    #expect(await manager.next() == "READY=1")
    for _ in 0..<5 { #expect(await manager.next() == "WATCHDOG=1\nSTATUS=consuming") }
    service.cancel()
    let last = await manager.next { $0.hasPrefix("STOPPING=1") }
    #expect(last.contains("STATUS=stopping"))
    // A stop may take longer than the manager waits.
    #expect(await manager.next { $0.hasPrefix("WATCHDOG=1") }.contains("STATUS=stopping"))
  }

  @Test func aLoopThatIsStuckEndsTheSignsOfLife() async throws {
    let manager = try Manager("@journey-\(UUID())")
    let liveness = Liveness()
    let (one, two) = (liveness.loop("one", limit: 1), liveness.loop("two", limit: 1))
    one.rest()
    two.turn()
    let service = start(try socket(manager), liveness)
    defer { service.cancel() }
    #expect(await manager.next { $0.contains("STATUS=") } == "WATCHDOG=1\nSTATUS=consuming")
    for _ in 0..<2 { liveness.tick() }
    for _ in 0..<5 { #expect(await manager.next { !$0.hasPrefix("WATCHDOG") } == "STATUS=stuck: two") }
    two.turn()
    #expect(await manager.next { $0.hasPrefix("WATCHDOG") } == "WATCHDOG=1\nSTATUS=consuming")
  }

  @Test func signsOfLifeAreForTheProcessThatTheManagerWatches() throws {
    let manager = try Manager("@journey-\(UUID())")
    #expect(try socket(manager, pid: getpid() + 1).watchdog == nil)
    #expect(try socket(manager).watchdog == .milliseconds(150))
    #expect(NotifySocket(environment: [:]) == nil)
    #expect(NotifySocket(environment: ["NOTIFY_SOCKET": "vsock:2:1"]) == nil)
    #expect(NotifySocket(environment: ["NOTIFY_SOCKET": "/nonexistent/\(UUID())"]) == nil)
  }
}
