public import FoundationEssentials

/// A growing buffer of values in the server's binary form, with one capacity check for each value. Copies share their
/// memory until one of them is written to.
@usableFromInline
struct WireBytes: Sendable {
  @usableFromInline
  final class Memory: @unchecked Sendable {
    @usableFromInline let start: UnsafeMutableRawPointer
    @usableFromInline let capacity: Int

    @usableFromInline
    init(capacity: Int) {
      self.capacity = capacity
      start = .allocate(byteCount: capacity, alignment: 16)
    }

    deinit { start.deallocate() }
  }

  @usableFromInline var memory: Memory
  @usableFromInline private(set) var count = 0

  @usableFromInline
  init(capacity: Int = 256) { memory = Memory(capacity: Swift.max(capacity, 32)) }

  /// Valid as long as `memory` lives.
  var start: UnsafeRawPointer { UnsafeRawPointer(memory.start) }

  @usableFromInline
  mutating func reserve(_ capacity: Int) {
    if capacity > memory.capacity || !isKnownUniquelyReferenced(&memory) { move(to: capacity) }
  }

  /// Appends a value of at most `most` bytes; `write` fills the memory and returns the size.
  @inlinable @inline(__always)
  mutating func append(atMost most: Int, _ write: (UnsafeMutableRawPointer) -> Int) {
    if memory.capacity &- count < most || !isKnownUniquelyReferenced(&memory) { move(to: 2 &* memory.capacity &+ most) }
    count &+= write(memory.start + count)
  }

  @usableFromInline @inline(never)
  mutating func move(to capacity: Int) {
    let moved = Memory(capacity: Swift.max(capacity, count))
    moved.start.copyMemory(from: memory.start, byteCount: count)
    memory = moved
  }

  @inlinable @inline(__always)
  mutating func append(_ source: UnsafeRawBufferPointer) {
    append(atMost: source.count) { buffer in
      if let base = source.baseAddress { buffer.copyMemory(from: base, byteCount: source.count) }
      return source.count
    }
  }

  @inlinable
  mutating func appendBigEndian<Value: FixedWidthInteger>(_ value: Value) {
    append(atMost: MemoryLayout<Value>.size) { buffer in
      buffer.storeBytes(of: value.bigEndian, as: Value.self)
      return MemoryLayout<Value>.size
    }
  }

  // MARK: An array's header: dimensions, has-nulls flag, element type, count, lower bound

  @usableFromInline static let headerLength = 20

  @usableFromInline
  mutating func beginArray(of element: UInt32) {
    append(atMost: Self.headerLength) { buffer in
      buffer.storeBytes(of: 0, as: Int32.self)
      buffer.storeBytes(of: 0, toByteOffset: 4, as: Int32.self)
      buffer.storeBytes(of: element.bigEndian, toByteOffset: 8, as: UInt32.self)
      buffer.storeBytes(of: 0, toByteOffset: 12, as: Int32.self)
      buffer.storeBytes(of: Int32(1).bigEndian, toByteOffset: 16, as: Int32.self)
      return Self.headerLength
    }
  }

  /// Completes the header of the array that begins at `start` with what was appended since.
  @inlinable @inline(__always)
  mutating func recordElements(_ elements: Int, hasNull: Bool, from start: Int) {
    precondition(isKnownUniquelyReferenced(&memory), "what was just appended to is nobody else's")
    let header = memory.start + start
    header.storeBytes(of: Int32(1).bigEndian, as: Int32.self)
    if hasNull { header.storeBytes(of: Int32(1).bigEndian, toByteOffset: 4, as: Int32.self) }
    header.storeBytes(of: Int32(truncatingIfNeeded: elements).bigEndian, toByteOffset: 12, as: Int32.self)
  }

  /// An array without elements ends after the element type.
  @usableFromInline
  func arrayLength(from start: Int, elements: Int) -> Int { elements == 0 ? 12 : count - start }

  // MARK: An array's elements, each with its length before it

  @inlinable
  mutating func appendNull() { appendBigEndian(Int32(-1)) }

  @inlinable mutating func appendElement(_ value: UUID) { appendFixed(value.uuid) }
  @inlinable mutating func appendElement(_ value: Int64) { appendFixed(value.bigEndian) }
  @inlinable mutating func appendElement(_ value: Int32) { appendFixed(value.bigEndian) }
  @inlinable mutating func appendElement(_ value: Bool) { appendFixed(value ? 1 as UInt8 : 0) }

  /// A value's bytes in memory order.
  @inlinable @inline(__always)
  mutating func appendFixed<Value: BitwiseCopyable>(_ value: Value) {
    let size = MemoryLayout<Value>.size
    append(atMost: 4 &+ size) { buffer in
      buffer.storeBytes(of: Int32(size).bigEndian, as: Int32.self)
      buffer.storeBytes(of: value, toByteOffset: 4, as: Value.self)
      return 4 &+ size
    }
  }

  @inlinable
  mutating func appendElement(_ value: String) {
    var value = value
    value.withUTF8 { appendElement(UnsafeRawBufferPointer($0)) }
  }

  @inlinable
  mutating func appendElement(_ value: [UInt8]) { value.withUnsafeBytes { appendElement($0) } }

  @inlinable
  mutating func appendElement(_ value: UnsafeRawBufferPointer) {
    append(atMost: 4 &+ value.count) { buffer in
      buffer.storeBytes(of: Int32(value.count).bigEndian, as: Int32.self)
      if let base = value.baseAddress { (buffer + 4).copyMemory(from: base, byteCount: value.count) }
      return 4 &+ value.count
    }
  }

  /// The binary form of jsonb is a version byte and the JSON text.
  @inlinable
  mutating func appendJSONBElement(_ value: UnsafeRawBufferPointer) {
    append(atMost: 5 &+ value.count) { buffer in
      buffer.storeBytes(of: Int32(value.count &+ 1).bigEndian, as: Int32.self)
      buffer.storeBytes(of: 1, toByteOffset: 4, as: UInt8.self)
      if let base = value.baseAddress { (buffer + 5).copyMemory(from: base, byteCount: value.count) }
      return 5 &+ value.count
    }
  }
}
