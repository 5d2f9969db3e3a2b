import CRabbitMQ
import Glibc

/// Encoded messages, collected for one write: the library would make a system call for each frame, three for each
/// message.
///
/// Source: AMQP 0-9-1, 4.2.3 and 4.2.6: a frame is its type, channel, size, payload and an end octet; a message is a
/// method, a header and its body.
final class FrameBuffer {
  /// Write once this many bytes are collected; a single message may be larger.
  static let limit = 64 << 10
  /// Enough for `limit` and one more message with the largest header that fits a frame.
  private static let defaultCapacity = 256 << 10

  private var start: UnsafeMutableRawPointer
  private var capacity: Int
  private(set) var count = 0

  init() {
    capacity = Self.defaultCapacity
    start = .allocate(byteCount: capacity, alignment: 16)
  }

  deinit { start.deallocate() }

  var gathered: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }

  /// Empties the buffer and frees the memory that a large message needed.
  func removeAll() {
    count = 0
    guard capacity > Self.defaultCapacity else { return }
    start.deallocate()
    capacity = Self.defaultCapacity
    start = .allocate(byteCount: capacity, alignment: 16)
  }

  /// Appends the frames of a message.
  /// - Parameters:
  ///   - frameMax: the negotiated maximum; the caller has checked that the header fits.
  /// - Returns: the library's status, negative for a failure.
  func append(
    _ method: inout amqp_basic_publish_t, _ properties: inout amqp_basic_properties_t, body: UnsafeRawBufferPointer,
    channel: amqp_channel_t,
    frameMax: Int
  ) -> Int32 {
    let maxPayload = frameMax - Self.overhead
    let pieces = (body.count + maxPayload - 1) / maxPayload
    // The method holds two names of at most 255 bytes.
    reserve(Self.overhead + 1024 + frameMax + body.count + pieces * Self.overhead)
    let before = count
    let statuses = [
      appendFrame(UInt8(AMQP_FRAME_METHOD), channel) { payload in
        payload.storeBytes(of: UInt32(AMQP_BASIC_PUBLISH_METHOD).bigEndian, as: UInt32.self)
        return (
          4, amqp_encode_method(UInt32(AMQP_BASIC_PUBLISH_METHOD), &method, amqp_bytes_t(len: 1020, bytes: payload + 4))
        )
      },
      appendFrame(UInt8(AMQP_FRAME_HEADER), channel) { payload in
        payload.storeBytes(of: UInt16(AMQP_BASIC_CLASS).bigEndian, as: UInt16.self)
        payload.storeBytes(of: 0, toByteOffset: 2, as: UInt16.self)
        payload.storeBytes(of: UInt64(body.count).bigEndian, toByteOffset: 4, as: UInt64.self)
        return (
          12,
          amqp_encode_properties(
            UInt16(AMQP_BASIC_CLASS), &properties, amqp_bytes_t(len: maxPayload - 12, bytes: payload + 12))
        )
      },
    ]
    if let failed = statuses.first(where: { $0 < 0 }) {
      count = before
      return failed
    }
    var rest = body[...]
    while !rest.isEmpty {
      let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(maxPayload))
      _ = appendFrame(UInt8(AMQP_FRAME_BODY), channel) { payload in
        payload.copyMemory(from: piece.baseAddress.unsafelyUnwrapped, byteCount: piece.count)
        return (piece.count, 0)
      }
      rest = rest.dropFirst(piece.count)
    }
    return AMQP_STATUS_OK.rawValue
  }

  /// Type, channel and size before the payload, the end octet after it.
  private static let overhead = 8

  /// - Parameter payload: fills in the payload and returns its length in two parts: what is fixed, and what the library
  ///   encoded, or its status below 0.
  /// - Returns: that status, 0 for success.
  private func appendFrame(
    _ type: UInt8, _ channel: amqp_channel_t, _ payload: (UnsafeMutableRawPointer) -> (fixed: Int, encoded: Int32)
  ) -> Int32 {
    let frame = start + count
    let (fixed, encoded) = payload(frame + 7)
    guard encoded >= 0 else { return encoded }
    let length = fixed + Int(encoded)
    frame.storeBytes(of: type, as: UInt8.self)
    frame.storeBytes(of: channel.bigEndian, toByteOffset: 1, as: UInt16.self)
    frame.storeBytes(of: UInt32(length).bigEndian, toByteOffset: 3, as: UInt32.self)
    frame.storeBytes(of: UInt8(AMQP_FRAME_END), toByteOffset: 7 + length, as: UInt8.self)
    count += Self.overhead + length
    return 0
  }

  private func reserve(_ more: Int) {
    guard capacity - count < more else { return }
    let larger = max(2 * capacity, count + more)
    let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
    moved.copyMemory(from: start, byteCount: count)
    start.deallocate()
    (start, capacity) = (moved, larger)
  }
}

extension Connection {
  /// Writes what `publish` has collected.
  func flush() throws(AMQPError) {
    if writtenByLibrary > 1 { SocketOptions.setCork(descriptor, false) }
    writtenByLibrary = 0
    var rest = frames.gathered[...]
    while !rest.isEmpty {
      let sent = send(
        descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count,
        Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      if sent > 0 {
        rest = rest.dropFirst(sent)
        continue
      }
      switch errno {
      case EINTR: continue
      case EAGAIN:
        // The watchdog ends the connection, and with it this wait, when the broker reads nothing for too long.
        var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&waiting, 1, -1)
      default: try check(AMQP_STATUS_SOCKET_ERROR.rawValue, "basic.publish")
      }
    }
    frames.removeAll()
  }
}
