import Glibc

/// The socket on which a service manager listens to its services, see sd_notify(3).
struct NotifySocket: Sendable {
  private let descriptor: Int32
  /// How soon after a sign of life the manager expects the next one; nil: it expects none.
  let watchdog: Duration?

  /// - Returns: nil if no service manager listens, or its socket cannot be reached.
  init?(environment: [String: String]) {
    guard let path = environment["NOTIFY_SOCKET"], let address = Self.address(path) else { return nil }
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return nil }
    let isConnected = address.withUnsafeBytes {
      connect(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count)) == 0
    }
    guard isConnected else {
      close(descriptor)
      return nil
    }
    self.descriptor = descriptor
    let isForThisProcess = environment["WATCHDOG_PID"].map { Int32($0) == getpid() } ?? true
    watchdog = isForThisProcess ? environment["WATCHDOG_USEC"].flatMap(Int.init).map { .microseconds($0) } : nil
  }

  /// Sends assignments, such as `READY=1`. What cannot be sent is lost: the manager must not hold up the program.
  func send(_ assignments: [String]) {
    let bytes = Array(assignments.joined(separator: "\n").utf8)
    _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
  }

  /// The bytes of a `sockaddr_un`. A path that begins with `@` is in the abstract namespace.
  private static func address(_ path: String) -> [UInt8]? {
    guard path.hasPrefix("/") || path.hasPrefix("@") else { return nil }
    let isAbstract = path.hasPrefix("@")
    let name = isAbstract ? [0] + path.utf8.dropFirst() : path.utf8 + [0]
    guard name.count <= MemoryLayout.size(ofValue: sockaddr_un().sun_path) else { return nil }
    return withUnsafeBytes(of: sa_family_t(AF_UNIX)) { Array($0) } + name
  }
}
