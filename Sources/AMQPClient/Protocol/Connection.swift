import ConnectionThreads
import CRabbitMQ
import Glibc

/// An open AMQP connection with one channel: the only owner of the library's connection state.
///
/// Belongs to the thread that opened it. After any error other than a closed channel the library's state may be
/// corrupt, so only `deinit` may touch it (rabbitmq-c#837).
final class Connection {
  /// What the broker sent and a caller has to handle.
  enum Event {
    case content(ContentAssembler.Content)
    case confirm(sequence: UInt64, multiple: Bool, isAck: Bool)
    case blocked(reason: String)
    case unblocked
    /// The broker ended the consumer.
    case consumerCancelled
    /// The reply to `basic.cancel`: no more deliveries follow.
    case cancelOK
    /// The broker closed the channel. `close-ok` is sent; `openChannel` may follow.
    case channelClosed(AMQPError)
    /// The reply to `connection.close`.
    case closeOK
    /// The reply to `tx.rollback`.
    case rollbackOK
  }

  enum Use {
    case publishing
    /// Never publishes a message.
    case receiving
  }

  static let channel: amqp_channel_t = 1
  /// POLLRDHUP, which the Glibc module leaves out.
  private static let peerHasClosed: Int16 = 0x2000

  let settings: AMQPConnectionSettings
  let state: amqp_connection_state_t
  let arena = EncodingArena()
  /// Encoded messages that are not written yet.
  let frames = FrameBuffer()
  /// The number of messages that the library wrote since the last flush.
  var writtenByLibrary = 0
  /// The negotiated maximum frame size in bytes.
  private(set) var frameMax = 0
  private(set) var stallGuard: WriteTimeout?
  /// False after the broker closed the channel because it refused a request.
  var isChannelOpen = false
  /// Whether the broker sent `connection.close`.
  var isClosed = false
  /// When to send the next heartbeat while nothing is read: the library sends heartbeats only while it reads.
  private var nextHeartbeat = MonotonicInstant.distantPast
  var assembler: ContentAssembler
  var decoder = WireDecoder()
  var exchanges = WireDecoder.RepeatedString()
  var routingKeys = WireDecoder.RepeatedString()

  private init(settings: AMQPConnectionSettings) throws(AMQPError) {
    guard let state = amqp_new_connection() else {
      throw AMQPError(.internalError, operation: "connect", message: "the library could not allocate a connection")
    }
    self.settings = settings
    self.state = state
    assembler = ContentAssembler(
      maxBodyBytes: settings.maxBodyBytes, beginningOfLargerBodies: settings.beginningOfLargerBodies)
  }

  deinit {
    // Before the library closes the socket, because the duplicate would keep the connection open.
    stallGuard?.release()
    amqp_destroy_connection(state)
  }

  /// Connects, logs in and opens the channel. Takes up to twice `connectTimeout` plus `rpcTimeout`.
  static func open(
    _ endpoint: AMQPConnectionSettings.Endpoint, settings: AMQPConnectionSettings, for use: Use
  ) throws(AMQPError) -> Connection {
    let connection = try Connection(settings: settings)
    connection.stallGuard = try connection.openSocket(to: endpoint)
    try connection.logIn(to: endpoint)
    connection.frameMax = Int(amqp_get_frame_max(connection.state))
    if use == .receiving { try connection.raiseFrameLimit() }
    try connection.openChannel()
    return connection
  }

  var descriptor: Int32 { amqp_get_sockfd(state) }

  func openChannel() throws(AMQPError) {
    try armed(settings.rpcTimeout) { () throws(AMQPError) in
      _ = amqp_channel_open(state, Self.channel)
      try checkReply("channel.open")
    }
    isChannelOpen = true
    assembler = ContentAssembler(
      maxBodyBytes: settings.maxBodyBytes, beginningOfLargerBodies: settings.beginningOfLargerBodies)
  }

  /// Replaces the channel: a round trip that needs no permission.
  func reopenChannel() throws(AMQPError) {
    if isChannelOpen {
      isChannelOpen = false
      try armed(settings.rpcTimeout) { () throws(AMQPError) in
        try checkReply(amqp_channel_close(state, Self.channel, 200), "channel.close")
      }
    }
    try openChannel()
  }

  /// The broker's product and version from its login properties.
  var serverDescription: String {
    guard let table = amqp_get_server_properties(state)?.pointee, table.num_entries > 0 else { return "unknown broker" }
    let entries = UnsafeBufferPointer(start: table.entries, count: Int(table.num_entries))
    let texts = ["product", "version"].compactMap { name in
      entries.first { WireDecoder.text($0.key) == name && UInt32($0.value.kind) == AMQP_FIELD_KIND_UTF8.rawValue }
        .map { WireDecoder.text($0.value.value.bytes) }
    }
    return texts.isEmpty ? "unknown broker" : texts.joined(separator: " ")
  }

  /// Whether the connection may still be used after an error: only if the broker merely closed the channel.
  func isUsable(after error: AMQPError?) -> Bool {
    guard let code = error?.nativeCode else { return false }
    return code > 0 && !isChannelOpen && !isClosed
  }

  /// Runs a call that may write or wait. The watchdog ends it one second after `limit`.
  func armed<R>(_ limit: Duration, _ body: () throws(AMQPError) -> R) throws(AMQPError) -> R {
    let before = stallGuard?.arm(until: .now() + (limit + .seconds(1)))
    defer { stallGuard?.arm(until: before ?? .distantFuture) }
    return try body()
  }

  /// Sleeps until the socket is readable (or writable, if asked for) or the mailbox has messages. Call it only after
  /// everything that arrived is read.
  func wait(mailbox: Int32, forWriting wantsToWrite: Bool = false, milliseconds: Int32) throws(AMQPError) {
    let descriptor = descriptor
    guard descriptor >= 0 else { throw lost("the library closed the socket") }
    let events = Int16(wantsToWrite ? POLLIN | POLLOUT : POLLIN)
    var descriptors = [
      pollfd(fd: descriptor, events: events, revents: 0), pollfd(fd: mailbox, events: Int16(POLLIN), revents: 0),
    ]
    // The next read reports an error.
    _ = poll(&descriptors, 2, milliseconds)
  }

  /// Waits for the mailbox without reading, so that TCP slows the broker down. Heartbeats to the broker go on. Those
  /// from the broker are behind the unread data, so only the kernel's keepalive detects a dead peer.
  func waitWithoutReading(mailbox: Int32, milliseconds: Int32) throws(AMQPError) {
    let descriptor = descriptor
    guard descriptor >= 0 else { throw lost("the library closed the socket") }
    let now = MonotonicInstant.now()
    if now >= nextHeartbeat {
      nextHeartbeat = now + .milliseconds(500) * max(1, amqp_get_heartbeat(state))
      try armed(settings.stallTimeout) { () throws(AMQPError) in
        var heartbeat = amqp_frame_t()
        heartbeat.frame_type = UInt8(AMQP_FRAME_HEARTBEAT)
        try check(amqp_send_frame(state, &heartbeat), "send a heartbeat")
      }
    }
    var descriptors = [
      pollfd(fd: descriptor, events: Self.peerHasClosed, revents: 0),
      pollfd(fd: mailbox, events: Int16(POLLIN), revents: 0),
    ]
    let limit = min(milliseconds, nextHeartbeat.millisecondsLeft(from: now))
    guard poll(&descriptors, 2, limit) > 0, descriptors[0].revents != 0 else { return }
    throw lost("the connection ended while nothing was read from it")
  }

  /// Whether the socket's send buffer has space, so that a write does not wait for the peer.
  func hasCapacity() -> Bool {
    var descriptors = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    return poll(&descriptors, 1, 0) == 1 && descriptors.revents & Int16(POLLOUT) != 0
  }

  /// Sends `connection.close` and waits for the reply until `deadline`. Do not call it after an error.
  ///
  /// Reads and drops what the broker had already sent. The library would keep all of it in memory while it waits for
  /// the reply; unread, it would make the kernel reset the connection, and the last writes could be lost.
  func close(deadline: MonotonicInstant) {
    let deadline = min(deadline, .now() + settings.rpcTimeout)
    stallGuard?.arm(until: deadline)
    defer { stallGuard?.disarm() }
    isChannelOpen = false
    var closeMethod = amqp_connection_close_t()
    closeMethod.reply_code = 200
    guard amqp_send_method(state, 0, AMQP_CONNECTION_CLOSE_METHOD, &closeMethod) == AMQP_STATUS_OK.rawValue else {
      return
    }
    do throws(AMQPError) {
      while true {
        switch try next() {
        case .closeOK: return
        case nil:
          let now = MonotonicInstant.now()
          guard now < deadline else { return }
          // At most a second, because reading also keeps up the heartbeat, which detects a dead peer.
          try wait(mailbox: -1, milliseconds: min(1000, deadline.millisecondsLeft(from: now)))
        default: guard MonotonicInstant.now() < deadline else { return }
        }
      }
    } catch {}
  }
}
