import ConnectionThreads
import CLibPQ
import Glibc

/// A message that some session sent with NOTIFY on a channel that this one listens to.
public struct PostgresNotification: Hashable, Sendable {
  public var channel: String
  public var payload: String
}

extension PostgresConnection {
  /// Waits for messages of NOTIFY on the channels of LISTEN, and takes all that are there.
  ///
  /// Call it outside a transaction: the server hands messages out between transactions only.
  /// - Returns: none where the time is over without one.
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
        // Readable without a notification: a notice, a changed setting, or the end of the stream.
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
