/// Puts a message together from its method, header and body frames. Pure: bytes in, content out.
///
/// Only one message is ever under way on a channel, but frames of channel 0 may come in between; those never get here.
struct ContentAssembler {
  /// The method that announces content.
  enum Opening: Equatable {
    case delivery(tag: UInt64, isRedelivered: Bool, exchange: String, routingKey: String)
    case returned(code: Int, text: String, exchange: String, routingKey: String)
  }

  struct Content {
    let opening: Opening
    let properties: MessageProperties
    let body: [UInt8]
    let bodySize: Int
    let problem: DeliveryProblem?
  }

  private struct Pending {
    let opening: Opening
    let properties: MessageProperties
    let size: UInt64
    var received: UInt64 = 0
    var body: [UInt8] = []
    var problem: DeliveryProblem?
    var keepsBody: Bool
  }

  private enum State {
    case idle
    case opened(Opening)
    case collecting(Pending)
  }

  let maxBodyBytes: Int
  private var state = State.idle

  init(maxBodyBytes: Int) { self.maxBodyBytes = maxBodyBytes }

  var isIdle: Bool { if case .idle = state { true } else { false } }

  mutating func open(_ opening: Opening) throws(AMQPError) {
    guard isIdle else { throw Self.violation("a message began before the one before it was complete") }
    state = .opened(opening)
  }

  mutating func header(size: UInt64, properties: MessageProperties, isTooDeep: Bool) throws(AMQPError) -> Content? {
    guard case .opened(let opening) = state else { throw Self.violation("a content header came without a method before it") }
    guard size <= UInt64(Int64.max) else { throw Self.violation("a content header announces \(size) bytes") }
    var pending = Pending(opening: opening, properties: properties, size: size, keepsBody: true)
    if isTooDeep { pending.problem = .headersTooDeep }
    if case .returned = opening {
      // The sender still has the body; the broker's copy is of no use.
      pending.keepsBody = false
    } else if size > UInt64(maxBodyBytes) {
      pending.keepsBody = false
      pending.problem = .bodyTooLarge
    }
    return finish(pending)
  }

  mutating func body(_ fragment: UnsafeRawBufferPointer) throws(AMQPError) -> Content? {
    guard case .collecting(var pending) = state else { throw Self.violation("a body frame came without a content header before it") }
    // Released before it is changed, or the bytes so far would be copied with every frame.
    state = .idle
    guard UInt64(fragment.count) <= pending.size - pending.received else {
      throw Self.violation("a body is longer than its header announced")
    }
    pending.received += UInt64(fragment.count)
    if pending.keepsBody {
      if pending.body.isEmpty { pending.body.reserveCapacity(Int(pending.size)) }
      pending.body.append(contentsOf: fragment)
    }
    return finish(pending)
  }

  private mutating func finish(_ pending: Pending) -> Content? {
    guard pending.received == pending.size else {
      state = .collecting(pending)
      return nil
    }
    state = .idle
    return Content(
      opening: pending.opening, properties: pending.properties, body: pending.body, bodySize: Int(pending.size), problem: pending.problem)
  }

  private static func violation(_ message: String, line: Int = #line) -> AMQPError {
    AMQPError(.protocolViolation, operation: "receive a message", message: message, line: line)
  }
}
