/// Writes AMQP 0-9-1 as the specification's section 4.2 has it, independently of the library under test.
struct WireWriter {
  var bytes: [UInt8] = []

  mutating func octet(_ value: UInt8) { bytes.append(value) }
  mutating func short(_ value: UInt16) { withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) } }
  mutating func long(_ value: UInt32) { withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) } }
  mutating func longLong(_ value: UInt64) { withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) } }

  mutating func shortString(_ text: String) {
    octet(UInt8(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }

  mutating func longString(_ content: [UInt8]) {
    long(UInt32(content.count))
    bytes.append(contentsOf: content)
  }

  static func frame(_ type: UInt8, channel: UInt16, _ payload: [UInt8]) -> [UInt8] {
    var writer = WireWriter()
    writer.octet(type)
    writer.short(channel)
    writer.longString(payload)
    writer.octet(0xCE)
    return writer.bytes
  }

  static func method(
    _ classID: UInt16, _ methodID: UInt16, channel: UInt16 = 1, _ write: (inout WireWriter) -> Void = { _ in }
  ) -> [UInt8] {
    var writer = WireWriter()
    writer.short(classID)
    writer.short(methodID)
    write(&writer)
    return frame(1, channel: channel, writer.bytes)
  }

  /// A content header of class basic.
  ///
  /// - Parameter headers: an encoded field table with its length, or nil for no properties at all.
  static func header(size: Int, headers: [UInt8]? = nil) -> [UInt8] {
    var writer = WireWriter()
    writer.short(60)
    writer.short(0)
    writer.longLong(UInt64(size))
    writer.short(headers == nil ? 0 : 1 << 13)
    writer.bytes.append(contentsOf: headers ?? [])
    return frame(2, channel: 1, writer.bytes)
  }

  static func body(_ content: [UInt8]) -> [UInt8] { frame(3, channel: 1, content) }

  static func deliver(tag: UInt64, routingKey: String = "key") -> [UInt8] {
    method(60, 60) {
      $0.shortString("tag")
      $0.longLong(tag)
      $0.octet(0)
      $0.shortString("exchange")
      $0.shortString(routingKey)
    }
  }

  static func message(tag: UInt64, _ content: [UInt8]) -> [UInt8] {
    deliver(tag: tag) + header(size: content.count) + (content.isEmpty ? [] : body(content))
  }

  static func confirm(_ tag: UInt64, multiple: Bool = false, isAck: Bool = true) -> [UInt8] {
    method(60, isAck ? 80 : 120) {
      $0.longLong(tag)
      $0.octet(multiple ? 1 : 0)
    }
  }

  static func blocked(_ reason: String) -> [UInt8] { method(10, 60, channel: 0) { $0.shortString(reason) } }
  static let unblocked = method(10, 61, channel: 0)
  static let heartbeat = frame(8, channel: 0, [])
}
