import ConnectionThreads
import CLibPQ
import Glibc

/// Why there was no reply.
enum LibpqFailure: Error {
  case lost(String)
  case deadline
}

/// The only owner of a `PGconn`. Sends and receives with deadlines, which libpq does not have.
///
/// The connection is non-blocking: otherwise sending could block while the server blocks on replies that nobody reads.
final class LibpqConnection {
  let pointer: OpaquePointer
  /// Set once and never cleared: a broken connection can only be freed.
  private(set) var isBroken = false
  /// Kept alive here, because libpq holds an unowned pointer to it until `PQfinish`.
  private let notices: NoticeSink

  init(_ pointer: OpaquePointer, notices: NoticeSink) {
    self.pointer = pointer
    self.notices = notices
    notices.attach(to: pointer)
  }

  deinit { PQfinish(pointer) }

  var errorMessage: String { PQerrorMessage(pointer).map { String(cString: $0) } ?? "" }
  var transactionStatus: PGTransactionStatusType { PQtransactionStatus(pointer) }

  func markBroken() { isBroken = true }

  func lost() -> LibpqFailure {
    isBroken = true
    return .lost(ErrorText.connection(errorMessage))
  }

  /// Waits until the socket is ready, at most until the deadline (nil: no limit).
  func wait(reading: Bool, writing: Bool, until deadline: MonotonicInstant?) throws(LibpqFailure) {
    let descriptor = PQsocket(pointer)
    guard descriptor >= 0 else { throw lost() }
    var entry = pollfd(fd: descriptor, events: Int16((reading ? POLLIN : 0) | (writing ? POLLOUT : 0)), revents: 0)
    while true {
      let ready = poll(&entry, 1, deadline.map { $0.millisecondsLeft() } ?? -1)
      if ready > 0 { return }
      if ready == 0 {
        // Checked against the clock, because the timeout of `poll` saturates at 24 days.
        if let deadline, MonotonicInstant.now() >= deadline { throw .deadline }
      } else if errno != EINTR {
        throw lost()
      }
    }
  }

  /// Sends everything that is buffered, and reads meanwhile.
  func flush(until deadline: MonotonicInstant?) throws(LibpqFailure) {
    while true {
      switch PQflush(pointer) {
      case 0: return
      case 1:
        try wait(reading: true, writing: true, until: deadline)
        if PQconsumeInput(pointer) == 0 { throw lost() }
      default:
        throw lost()
      }
    }
  }

  /// The next result, or nil at the end of a statement's results.
  func nextResult(until deadline: MonotonicInstant?) throws(LibpqFailure) -> ResultHandle? {
    while PQisBusy(pointer) == 1 {
      try wait(reading: true, writing: false, until: deadline)
      // After a failure, a result that arrived before it may still be available, such as the reason.
      if PQconsumeInput(pointer) == 0 { break }
    }
    guard let result = PQgetResult(pointer) else {
      if PQstatus(pointer) == CONNECTION_BAD { throw lost() }
      return nil
    }
    return ResultHandle(result)
  }

  /// Whether the server has kept the connection open. Costs one `poll` and no round trip.
  func isAlive() -> Bool {
    guard !isBroken, PQstatus(pointer) == CONNECTION_OK else { return false }
    var entry = pollfd(fd: PQsocket(pointer), events: Int16(POLLIN), revents: 0)
    // Between statements the server sends only notices, changed settings and the reason why it ends the session. The
    // end of the stream shows only after these are read.
    while poll(&entry, 1, 0) > 0 {
      guard PQconsumeInput(pointer) == 1, PQstatus(pointer) == CONNECTION_OK else {
        isBroken = true
        return false
      }
    }
    return true
  }

  /// Asks the server over another connection to cancel the session's statement, and gives this connection up.
  ///
  /// `PQcancel` may block indefinitely, so it runs on its own thread. Before libpq 17 it is unencrypted; the request
  /// contains only the session's cancel key.
  func cancelAndGiveUp() {
    isBroken = true
    guard let request = PQgetCancel(pointer) else { return }
    let handle = CancelHandle(pointer: request)
    let started = NamedThread.startIfPossible(name: "pg-cancel", stackBytes: 256 << 10) { handle.send() }
    if !started { PQfreeCancel(request) }
  }
}

/// A cancel handle is independent of its connection and safe to use on another thread.
private struct CancelHandle: @unchecked Sendable {
  let pointer: OpaquePointer

  func send() {
    var message = [CChar](repeating: 0, count: 256)
    PQcancel(pointer, &message, Int32(message.count))
    PQfreeCancel(pointer)
  }
}

/// Receives the server's notices, which libpq would otherwise print to standard error.
final class NoticeSink {
  private let handler: (@Sendable (PostgresNotice) -> Void)?

  init(_ handler: (@Sendable (PostgresNotice) -> Void)?) { self.handler = handler }

  func attach(to connection: OpaquePointer) {
    PQsetNoticeReceiver(
      connection,
      { context, result in
        guard let context, let result else { return }
        Unmanaged<NoticeSink>.fromOpaque(context).takeUnretainedValue().receive(result)
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  private func receive(_ result: OpaquePointer) {
    guard let handler else { return }
    func field(_ code: Unicode.Scalar) -> String? {
      PQresultErrorField(result, Int32(code.value)).map { String(cString: $0) }
    }
    let sqlState = field("C")
    // Warnings of libpq itself have no fields.
    let message = field("M") ?? PQresultErrorMessage(result).map { String(cString: $0) } ?? ""
    handler(
      PostgresNotice(
        severity: field("V") ?? "WARNING", sqlState: sqlState, message: ErrorText.primary(message, sqlState: sqlState)))
  }
}
