import CRabbitMQ
import Glibc
import Synchronization

/// Messages for a connection's thread, which sleeps in `poll` on `descriptor` and its socket. In this module, because
/// only its threads sleep in `poll`.
final class Mailbox<Message: Sendable>: Sendable {
  private struct Contents {
    var messages: [Message] = []
    var isClosed = false
  }

  private let contents = Mutex(Contents())
  /// Readable while messages wait. -1, which `poll` ignores, when the process had no file descriptor left; then the
  /// thread polls for messages.
  let descriptor: Int32

  init() { descriptor = shim_eventfd() }

  deinit { if descriptor >= 0 { Glibc.close(descriptor) } }

  /// Returns false when the mailbox is closed and did not take the message.
  @discardableResult
  func post(_ message: Message) -> Bool {
    contents.withLock { contents in
      guard !contents.isClosed else { return false }
      contents.messages.append(message)
      // One write per burst, inside the lock, so that the descriptor is readable exactly while messages wait.
      if contents.messages.count == 1, descriptor >= 0 { shim_eventfd_raise(descriptor) }
      return true
    }
  }

  func drain() -> [Message] {
    contents.withLock { contents in
      guard !contents.messages.isEmpty else { return [] }
      if descriptor >= 0 { shim_eventfd_clear(descriptor) }
      defer { contents.messages = [] }
      return contents.messages
    }
  }

  /// Sleeps until there are messages or the time has passed; -1 means no limit.
  func wait(milliseconds: Int32) {
    var descriptors = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    // Without a descriptor, nothing wakes the thread.
    poll(&descriptors, 1, descriptor < 0 ? 100 : milliseconds)
  }

  /// Refuses further messages and returns the pending ones.
  func close() -> [Message] {
    contents.withLock { contents in
      contents.isClosed = true
      defer { contents.messages = [] }
      return contents.messages
    }
  }
}
