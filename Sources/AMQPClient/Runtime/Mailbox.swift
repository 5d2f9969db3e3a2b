import CRabbitMQ
import Glibc
import Synchronization

/// Where other threads leave work for a connection's thread, which sleeps in `poll` on `descriptor` and its socket.
final class Mailbox<Message: Sendable>: Sendable {
  private struct Contents {
    var messages: [Message] = []
    var isClosed = false
  }

  private let contents = Mutex(Contents())
  /// Readable while messages wait; -1, which `poll` passes over, where the process had no file descriptor left. Then
  /// mail is looked for now and then.
  let descriptor: Int32

  init() { descriptor = shim_eventfd() }

  deinit { if descriptor >= 0 { Glibc.close(descriptor) } }

  /// Returns false when the mailbox is closed: the message was not taken and its sender has to answer for it.
  @discardableResult
  func post(_ message: Message) -> Bool {
    contents.withLock { contents in
      guard !contents.isClosed else { return false }
      contents.messages.append(message)
      // One write per burst, and inside the lock: so the descriptor is readable exactly while messages wait.
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

  /// Sleeps until there are messages, or until the time is over; -1 is no limit.
  func wait(milliseconds: Int32) {
    var descriptors = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    // Nobody wakes who has no descriptor.
    poll(&descriptors, 1, descriptor < 0 ? 100 : milliseconds)
  }

  /// Refuses further messages and returns those that nobody has taken.
  func close() -> [Message] {
    contents.withLock { contents in
      contents.isClosed = true
      defer { contents.messages = [] }
      return contents.messages
    }
  }
}
