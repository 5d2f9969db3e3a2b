import Crypto

/// Assembles a message from its method, header and body frames. Pure.
///
/// A channel carries one message at a time. Frames of channel 0 may come in between, but never get here.
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
    let bodyDigest: [UInt8]?
    let problem: DeliveryProblem?
  }

  private struct Pending {
    let opening: Opening
    let properties: MessageProperties
    let size: UInt64
    var received: UInt64 = 0
    var body: [UInt8] = []
    var problem: DeliveryProblem?
    /// How many bytes of the body are kept.
    var kept: Int
    /// For a body that is too large and of which the beginning is kept.
    var digest: SHA256?
  }

  private enum State {
    case idle
    case opened(Opening)
    case collecting(Pending)
  }

  let maxBodyBytes: Int
  let beginningOfLargerBodies: Int?
  private var state = State.idle

  init(maxBodyBytes: Int, beginningOfLargerBodies: Int? = nil) {
    self.maxBodyBytes = maxBodyBytes
    self.beginningOfLargerBodies = beginningOfLargerBodies
  }

  var isIdle: Bool { if case .idle = state { true } else { false } }

  mutating func open(_ opening: Opening) throws(AMQPError) {
    guard isIdle else { throw Self.violation("a message began before the one before it was complete") }
    state = .opened(opening)
  }

  mutating func header(size: UInt64, properties: MessageProperties, isTooDeep: Bool) throws(AMQPError) -> Content? {
    guard case .opened(let opening) = state else {
      throw Self.violation("a content header came without a method before it")
    }
    guard size <= UInt64(Int64.max) else { throw Self.violation("a content header announces \(size) bytes") }
    var pending = Pending(opening: opening, properties: properties, size: size, kept: Int(size))
    if isTooDeep { pending.problem = .headersTooDeep }
    if case .returned = opening {
      // The sender still has the body.
      pending.kept = 0
    } else if size > UInt64(maxBodyBytes) {
      pending.kept = beginningOfLargerBodies ?? 0
      pending.digest = beginningOfLargerBodies == nil ? nil : SHA256()
      pending.problem = .bodyTooLarge
    }
    return finish(pending)
  }

  mutating func body(_ fragment: UnsafeRawBufferPointer) throws(AMQPError) -> Content? {
    guard case .collecting(var pending) = state else {
      throw Self.violation("a body frame came without a content header before it")
    }
    // Released before the change, so that the bytes so far are not copied with every frame.
    state = .idle
    guard UInt64(fragment.count) <= pending.size - pending.received else {
      throw Self.violation("a body is longer than its header announced")
    }
    pending.received += UInt64(fragment.count)
    let missing = min(pending.kept - pending.body.count, fragment.count)
    if missing > 0 {
      if pending.body.isEmpty { pending.body.reserveCapacity(pending.kept) }
      pending.body.append(contentsOf: fragment.prefix(missing))
    }
    pending.digest?.update(bufferPointer: fragment)
    return finish(pending)
  }

  private mutating func finish(_ pending: Pending) -> Content? {
    guard pending.received == pending.size else {
      state = .collecting(pending)
      return nil
    }
    state = .idle
    return Content(
      opening: pending.opening, properties: pending.properties, body: pending.body, bodySize: Int(pending.size),
      bodyDigest: pending.digest.map { Array($0.finalize()) }, problem: pending.problem)
  }

  private static func violation(_ message: String) -> AMQPError {
    AMQPError(.protocolViolation, operation: "receive a message", message: message)
  }
}
