package import AMQPClient
package import Journey

/// A message as it is kept, so that it can be mapped again.
package struct RawMessage: Sendable {
  package var origin: RawOrigin
  /// Whether members of the body are redacted.
  package var isRedacted: Bool
  package var delivery: Delivery

  /// - Returns: nil if this version does not read the bytes.
  package init?(_ bytes: ArraySlice<UInt8>) {
    var reader = RawReader(bytes)
    guard reader.byte() == RawFormat.version else { return nil }
    let flags = reader.byte()
    let received = Timestamp(microseconds: reader.int64()), mapped = Timestamp(microseconds: reader.int64())
    let timestamp = reader.int64()
    guard let source = reader.text(), let exchange = reader.text(), let routingKey = reader.text() else { return nil }
    var properties = MessageProperties()
    properties.contentType = reader.text()
    properties.contentEncoding = reader.text()
    properties.messageID = reader.text()
    properties.type = reader.text()
    properties.appID = reader.text()
    properties.userID = reader.text()
    properties.timestamp = flags & RawFormat.hasTimestamp != 0 ? timestamp : nil
    var fields: [FieldTable.Field] = []
    for _ in 0..<reader.uint16() {
      guard let name = reader.text(), let value = reader.value() else { return nil }
      fields.append(FieldTable.Field(name, value))
    }
    properties.headers = FieldTable(fields)
    guard !reader.isDamaged else { return nil }
    let body = reader.rest()
    origin = RawOrigin(source: source, orgID: nil, receivedAt: received, mappedAt: mapped, bytes: body.count)
    isRedacted = flags & RawFormat.redacted != 0
    delivery = Delivery(
      tag: DeliveryTag(generation: 0, value: 0), exchange: exchange, routingKey: routingKey, isRedelivered: false,
      properties: properties, body: body)
  }
}

extension InboundDecoder {
  /// Maps a kept message by the current mappings, as at the time when it came.
  package func remap(_ message: RawMessage, random: inout IDRandom) -> Decoded {
    decode(message.delivery, earlier: message.origin, random: &random)
  }
}

/// Version 1: numbers are little-endian; a text is its length in two bytes and its UTF-8, `0xFFFF` alone is none; the
/// body is what remains.
enum RawFormat {
  static let version: UInt8 = 1
  static let redacted: UInt8 = 1
  static let hasTimestamp: UInt8 = 2
  static let noText = UInt16.max

  static let string: UInt8 = 1
  static let bytes: UInt8 = 2
  static let int: UInt8 = 3
  static let bool: UInt8 = 4
  static let timestamp: UInt8 = 5
}

private struct RawReader {
  private let bytes: ArraySlice<UInt8>
  private var position: Int
  private(set) var isDamaged = false

  init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    position = bytes.startIndex
  }

  private mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
    guard bytes.endIndex - position >= count else {
      isDamaged = true
      return nil
    }
    defer { position += count }
    return bytes[position..<(position + count)]
  }

  private mutating func number(_ count: Int) -> UInt64 {
    var value: UInt64 = 0
    for byte in (take(count) ?? []).reversed() { value = value << 8 | UInt64(byte) }
    return value
  }

  mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: number(1)) }
  mutating func uint16() -> UInt16 { UInt16(truncatingIfNeeded: number(2)) }
  mutating func int64() -> Int64 { Int64(bitPattern: number(8)) }

  mutating func text() -> String? {
    let count = uint16()
    guard count != RawFormat.noText else { return nil }
    return take(Int(count)).map { String(decoding: $0, as: UTF8.self) }
  }

  mutating func value() -> FieldValue? {
    switch byte() {
    case RawFormat.string: take(Int(number(4))).map { .string(String(decoding: $0, as: UTF8.self)) }
    case RawFormat.bytes: take(Int(number(4))).map { .bytes(Array($0)) }
    case RawFormat.int: .int(int64())
    case RawFormat.bool: .bool(byte() != 0)
    case RawFormat.timestamp: .timestamp(int64())
    default: nil
    }
  }

  mutating func rest() -> [UInt8] { Array(bytes[position...]) }
}
