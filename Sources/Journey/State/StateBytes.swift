import FoundationEssentials

/// Writes the fields of a stored state, see `ClientSummary.encoded()`.
struct StateWriter: ~Copyable {
  private var out = ByteWriter(capacity: 1024)

  var bytes: [UInt8] { out.bytes }

  @inline(__always)
  mutating func byte(_ value: UInt8) { out.append(value) }

  /// A number in all its bytes, the lowest first.
  @inline(__always)
  mutating func fixed(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { $0.withMemoryRebound(to: UInt8.self) { out.append($0) } }
  }

  @inline(__always)
  mutating func unsigned(_ value: UInt64) {
    out.append(atMost: 10) { buffer in
      var rest = value, index = 0
      while rest >= 0x80 {
        buffer[index] = UInt8(truncatingIfNeeded: rest) | 0x80
        rest >>= 7
        index &+= 1
      }
      buffer[index] = UInt8(rest)
      return index &+ 1
    }
  }

  mutating func signed(_ value: Int64) { unsigned(UInt64(bitPattern: (value << 1) ^ (value >> 63))) }

  @inline(__always)
  mutating func string(_ value: String) {
    value.withBytes {
      unsigned(UInt64($0.count))
      out.append($0)
    }
  }

  @inline(__always)
  mutating func uuid(_ value: UUID) {
    withUnsafeBytes(of: value.uuid) { $0.withMemoryRebound(to: UInt8.self) { out.append($0) } }
  }

  @inline(__always)
  mutating func stamp(_ value: EventStamp) {
    signed(value.at.microseconds)
    string(value.id)
    string(value.source)
  }

  mutating func optional<T>(_ value: T?, _ body: (inout Self, T) -> Void) {
    byte(value == nil ? 0 : 1)
    if let value { body(&self, value) }
  }

  mutating func list<T>(_ values: [T], _ body: (inout Self, T) -> Void) {
    unsigned(UInt64(values.count))
    for value in values { body(&self, value) }
  }
}

/// Reads what `StateWriter` wrote. A read past the end or of an invalid value marks the input as damaged and returns a
/// neutral value, so that one check of `isAtEnd` is enough.
struct StateReader {
  private let bytes: [UInt8]
  private var position = 0
  var isDamaged = false

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool { !isDamaged && position == bytes.count }

  mutating func byte() -> UInt8 {
    guard position < bytes.count else {
      isDamaged = true
      return 0
    }
    defer { position += 1 }
    return bytes[position]
  }

  /// What `StateWriter.fixed` wrote.
  @inline(__always)
  mutating func fixed<Number: FixedWidthInteger & BitwiseCopyable>() -> Number {
    let size = MemoryLayout<Number>.size
    guard bytes.count - position >= size else {
      isDamaged = true
      return 0
    }
    defer { position += size }
    return bytes.withUnsafeBytes { Number(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: Number.self)) }
  }

  mutating func flag() -> Bool {
    let value = byte()
    if value > 1 { isDamaged = true }
    return value == 1
  }

  mutating func unsigned() -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: 0, to: 64, by: 7) {
      let next = byte()
      value |= UInt64(next & 0x7f) << UInt64(shift)
      if next < 0x80 { return value }
    }
    isDamaged = true
    return 0
  }

  mutating func signed() -> Int64 {
    let raw = unsigned()
    return Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1)
  }

  mutating func string() -> String {
    let count = unsigned()
    if count == 0 { return "" }
    guard count <= UInt64(bytes.count - position) else {
      isDamaged = true
      return ""
    }
    defer { position += Int(count) }
    let range = position..<position + Int(count)
    return bytes.withUnsafeBufferPointer { all in
      let utf8 = UnsafeBufferPointer(rebasing: all[range])
      let text = String(decoding: utf8, as: UTF8.self)
      // Repaired text would be the id of another event.
      if !utf8.isASCII, !text.utf8.elementsEqual(utf8) { isDamaged = true }
      return text
    }
  }

  mutating func uuid() -> UUID {
    guard bytes.count - position >= 16 else {
      isDamaged = true
      return UUID.zero
    }
    defer { position += 16 }
    return bytes.withUnsafeBytes { UUID(uuid: $0.loadUnaligned(fromByteOffset: position, as: uuid_t.self)) }
  }

  mutating func stamp() -> EventStamp {
    let at = Timestamp(microseconds: signed())
    let id = string()
    return EventStamp(at: at, id: id, source: string())
  }

  mutating func member<T>(of all: [T]) -> T {
    let index = Int(byte())
    if index < all.count { return all[index] }
    isDamaged = true
    return all[0]
  }

  mutating func optional<T>(_ body: (inout Self) -> T) -> T? {
    flag() ? body(&self) : nil
  }

  mutating func list<T>(_ body: (inout Self) -> T) -> [T] {
    let count = unsigned()
    var values: [T] = []
    values.reserveCapacity(Int(min(count, 10)))
    // A damaged count may be anything; the end of the bytes stops the loop.
    while values.count < count, !isDamaged { values.append(body(&self)) }
    return values
  }
}
