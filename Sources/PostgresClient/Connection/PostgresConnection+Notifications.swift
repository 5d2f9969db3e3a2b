import ConnectionThreads
import CLibPQ
import Glibc

/// A NOTIFY message on a channel that the session listens to.
public struct PostgresNotification: Hashable, Sendable {
  public var channel: String
  public var payload: String
}

extension PostgresConnection {
  /// Waits for NOTIFY messages and returns all that arrived.
  ///
  /// Call it outside a transaction: the server sends messages between transactions only.
  /// - Returns: none when the time passes without one.
  public func notifications(
    within limit: Duration, file: String = #fileID, line: Int = #line
  ) throws(PostgresError) -> [PostgresNotification] {
    let site = CallSite(file: file, line: line)
    try requireUsable("wait for notifications", site)
    let until = MonotonicInstant.now() + limit
    do throws(LibpqFailure) {
      while true {
        let found = libpq.drainNotifications()
        if !found.isEmpty { return found }
        do throws(LibpqFailure) {
          try libpq.wait(reading: true, writing: false, until: until)
        } catch .deadline {
          return []
        }
        // Readable without a notification means a notice, a changed setting, or the end of the stream.
        if PQconsumeInput(libpq.pointer) == 0 { throw libpq.lost() }
      }
    } catch {
      throw failure(error, "wait for notifications", site)
    }
  }
}

extension LibpqConnection {
  fileprivate func drainNotifications() -> [PostgresNotification] {
    var found: [PostgresNotification] = []
    while let entry = PQnotifies(pointer) {
      defer { PQfreemem(entry) }
      found.append(
        PostgresNotification(
          channel: entry.pointee.relname.map { String(cString: $0) } ?? "",
          payload: entry.pointee.extra.map { String(cString: $0) } ?? ""))
    }
    return found
  }
}
