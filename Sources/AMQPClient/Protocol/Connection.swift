import ConnectionThreads
import CRabbitMQ
import Glibc

/// An open AMQP connection with one channel: the only owner of the library's connection state.
///
/// Belongs to the thread that opened it. Every error but a refused channel is final: the library's state may be corrupt
/// then, so nothing but `deinit` may touch it (rabbitmq-c#837).
final class Connection {
  /// What the broker sent, as far as somebody has to act on it.
  enum Event {
    case content(ContentAssembler.Content)
    case confirm(sequence: UInt64, multiple: Bool, isAck: Bool)
    case blocked(reason: String)
    case unblocked
    /// The broker ended the consumer.
    case consumerCancelled
    /// Our `basic.cancel` is answered: nothing more will be delivered.
    case cancelOK
    /// The broker closed the channel; close-ok is sent, `openChannel` may follow.
    case channelClosed(AMQPError)
    /// Our `connection.close` is answered.
    case closeOK
    /// Our `tx.rollback` is answered.
    case rollbackOK
  }

  enum Use {
    case publishing
    /// Never writes a message.
    case receiving
  }

  static let channel: amqp_channel_t = 1
  /// POLLRDHUP, which the Glibc module leaves out.
  private static let peerHasClosed: Int16 = 0x2000

  let settings: AMQPConnectionSettings
  let state: amqp_connection_state_t
  let arena = EncodingArena()
  /// Messages that are not written yet.
  let frames = FrameBuffer()
  /// How many messages the library has written since the last flush.
  var writtenByLibrary = 0
  /// The largest frame in bytes that both sides agreed on.
  private(set) var frameMax = 0
  private(set) var stallGuard: WriteTimeout?
  /// Whether the channel can be used; the broker closes it when it refuses something.
  var isChannelOpen = false
  /// The broker said `connection.close`.
  var isClosed = false
  /// When the broker has to get a heartbeat while nothing is read, monotonic nanoseconds: the library sends them only
  /// as it reads.
  private var nextSignOfLife = MonotonicInstant.distantPast
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
    // Before the library closes the socket: afterwards the watchdog would have nothing left to act on anyway.
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
    if use == .receiving { try connection.acceptGrownHeaders() }
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

  /// A round trip that needs no permission.
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
  func survived(_ error: AMQPError?) -> Bool {
    guard let code = error?.nativeCode else { return false }
    return code > 0 && !isChannelOpen && !isClosed
  }

  /// Runs something that may write or wait, with the watchdog looking on: the call is cut off `limit` and one second
  /// later.
  func armed<R>(_ limit: Duration, _ body: () throws(AMQPError) -> R) throws(AMQPError) -> R {
    let before = stallGuard?.arm(until: .now() + (limit + .seconds(1)))
    defer { stallGuard?.arm(until: before ?? .distantFuture) }
    return try body()
  }

  /// Waits until there is something to read, mail, or (when asked for) room to write. Call only when everything is
  /// read.
  func wait(mailbox: Int32, forRoom wantsRoom: Bool = false, milliseconds: Int32) throws(AMQPError) {
    let descriptor = descriptor
    guard descriptor >= 0 else { throw lost("the library closed the socket") }
    let events = Int16(wantsRoom ? POLLIN | POLLOUT : POLLIN)
    var descriptors = [
      pollfd(fd: descriptor, events: events, revents: 0), pollfd(fd: mailbox, events: Int16(POLLIN), revents: 0),
    ]
    // An interruption or an error shows at the next read.
    _ = poll(&descriptors, 2, milliseconds)
  }

  /// Waits for mail and reads nothing, so that the broker is held back. The broker still gets signs of life; its own
  /// are behind what is not read, so that only the kernel's word counts, which asks an idle peer whether it lives.
  func holdBack(mailbox: Int32, milliseconds: Int32) throws(AMQPError) {
    let descriptor = descriptor
    guard descriptor >= 0 else { throw lost("the library closed the socket") }
    let now = MonotonicInstant.now()
    if now >= nextSignOfLife {
      nextSignOfLife = now + .milliseconds(500) * max(1, amqp_get_heartbeat(state))
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
    let limit = min(milliseconds, nextSignOfLife.millisecondsLeft(from: now))
    guard poll(&descriptors, 2, limit) > 0, descriptors[0].revents != 0 else { return }
    throw lost("the connection ended while nothing was read from it")
  }

  /// Whether the kernel takes a good deal of bytes at once, so that a write does not have to wait for the peer.
  func hasCapacity() -> Bool {
    var descriptors = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    return poll(&descriptors, 1, 0) == 1 && descriptors.revents & Int16(POLLOUT) != 0
  }

  /// Says goodbye and waits for the answer until `deadline`. Not after an error.
  ///
  /// Reads past what the broker had under way: waiting for the answer, the library would keep all of it in memory. Left
  /// unread it would make the kernel reset the connection, and the broker lose what was written last.
  func close(deadline: MonotonicInstant) {
    let deadline = min(deadline, .now() + settings.rpcTimeout)
    stallGuard?.arm(until: deadline)
    defer { stallGuard?.disarm() }
    isChannelOpen = false
    var goodbye = amqp_connection_close_t()
    goodbye.reply_code = 200
    guard amqp_send_method(state, 0, AMQP_CONNECTION_CLOSE_METHOD, &goodbye) == AMQP_STATUS_OK.rawValue else { return }
    do throws(AMQPError) {
      while true {
        switch try next() {
        case .closeOK: return
        case nil:
          let now = MonotonicInstant.now()
          guard now < deadline else { return }
          // Not for longer than the heartbeat needs to be looked after: it tells of a peer that is gone.
          try wait(mailbox: -1, milliseconds: min(1000, deadline.millisecondsLeft(from: now)))
        default: guard MonotonicInstant.now() < deadline else { return }
        }
      }
    } catch {}
  }
}
