import AMQPClient
public import Journey
import Synchronization

/// Writes messages as they are kept: the body as it came, and of the rest what a mapping may read.
///
/// Not kept: headers with credentials, those of the broker and of the adapter, and those that no mapping can read.
/// Members that the mapping redacts are redacted in the body as well.
public final class RawMessageForm: RawMessageWriter {
  private let mappings: LiveMappings
  private let redaction: HeaderRedaction
  /// Whether a header of that name is kept: names repeat, and matching patterns is slow.
  private let isKept = Mutex<[String: Bool]>([:])
  private static let maxNames = 1000

  public init(mappings: LiveMappings, redaction: HeaderRedaction) {
    self.mappings = mappings
    self.redaction = redaction
  }

  public func append(_ message: InboundMessage, to buffer: inout [UInt8]) -> Bool {
    guard let origin = message.origin, let delivery = message.delivery as? Delivery else { return false }
    let redacted = mappings.redaction(of: origin.source)?.redacted(delivery.body)
    let properties = delivery.properties
    buffer.append(RawFormat.version)
    buffer.append(
      (redacted == nil ? 0 : RawFormat.redacted) | (properties.timestamp == nil ? 0 : RawFormat.hasTimestamp))
    buffer.append(little: origin.receivedAt.microseconds)
    buffer.append(little: origin.mappedAt.microseconds)
    buffer.append(little: properties.timestamp ?? 0)
    buffer.append(text: origin.source)
    buffer.append(text: delivery.exchange)
    buffer.append(text: delivery.routingKey)
    buffer.append(text: properties.contentType)
    buffer.append(text: properties.contentEncoding)
    buffer.append(text: properties.messageID)
    buffer.append(text: properties.type)
    buffer.append(text: properties.appID)
    buffer.append(text: properties.userID)
    append(properties.headers, to: &buffer)
    buffer.append(contentsOf: redacted ?? delivery.body)
    return true
  }

  private func append(_ headers: FieldTable, to buffer: inout [UInt8]) {
    let count = buffer.count
    buffer.append(little: UInt16(0))
    var kept: UInt16 = 0
    for field in headers where kept < .max && isKept(field) {
      buffer.append(text: field.name)
      switch field.value {
      case .string(let text):
        buffer.append(RawFormat.string)
        buffer.append(little: UInt32(text.utf8.count))
        buffer.append(contentsOf: text.utf8)
      case .bytes(let bytes):
        buffer.append(RawFormat.bytes)
        buffer.append(little: UInt32(bytes.count))
        buffer.append(contentsOf: bytes)
      case .int(let number):
        buffer.append(RawFormat.int)
        buffer.append(little: number)
      case .bool(let flag):
        buffer.append(RawFormat.bool)
        buffer.append(flag ? 1 : 0)
      case .timestamp(let seconds):
        buffer.append(RawFormat.timestamp)
        buffer.append(little: seconds)
      default: continue
      }
      kept += 1
    }
    buffer[count] = UInt8(truncatingIfNeeded: kept)
    buffer[count + 1] = UInt8(truncatingIfNeeded: kept >> 8)
  }

  private func isKept(_ field: FieldTable.Field) -> Bool {
    switch field.value {
    case .string, .bytes, .int, .bool, .timestamp: break
    default: return false
    }
    return isKept.withLock { known in
      if let isKept = known[field.name] { return isKept }
      let isKept =
        field.name.utf8.count < 256 && !JourneyHeader.isBrokersOwn(field.name)
        && !JourneyHeader.isAdaptersOwn(field.name) && !redaction.matches(field.name)
      if known.count < Self.maxNames { known[field.name] = isKept }
      return isKept
    }
  }
}

extension [UInt8] {
  mutating func append<Number: FixedWidthInteger>(little number: Number) {
    Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
  }

  /// A text that is too long counts as absent: only a header can be, and no client sends one.
  mutating func append(text: String?) {
    guard var text, text.utf8.count < Int(RawFormat.noText) else { return append(little: RawFormat.noText) }
    text.withUTF8 {
      append(little: UInt16($0.count))
      append(contentsOf: $0)
    }
  }
}
