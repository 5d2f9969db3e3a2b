import ConnectionThreads
import Glibc

/// Keepalive and timeouts. With the kernel's defaults, which the library keeps, a dead peer shows after two hours.
enum SocketOptions {
  /// - Parameter userTimeout: zero means the kernel's default.
  static func apply(to descriptor: Int32, userTimeout: Duration) {
    set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1)
    set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, 10)
    set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPINTVL, 5)
    set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPCNT, 3)
    setUserTimeout(descriptor, userTimeout)
  }

  static func setUserTimeout(_ descriptor: Int32, _ timeout: Duration) {
    set(descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, Int32(clamping: max(timeout.wholeNanoseconds, 0) / 1_000_000))
  }

  /// While corked, the kernel sends full segments only; uncorking sends the rest at once. The broker then reads a burst
  /// of small frames in a few reads instead of one for each frame.
  static func setCork(_ descriptor: Int32, _ isCorked: Bool) {
    set(descriptor, Int32(IPPROTO_TCP), TCP_CORK, isCorked ? 1 : 0)
  }

  /// What is not sent yet is dropped when the socket is closed.
  static func resetAtClose(_ descriptor: Int32) {
    var linger = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
  }

  /// Failures are ignored: without an option, the heartbeat still detects a dead peer.
  private static func set(_ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
    var value = value
    setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
  }
}
