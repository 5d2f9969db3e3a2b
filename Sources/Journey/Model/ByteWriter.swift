/// A growing byte buffer for texts and states on the hot path. It is uniquely owned and never copied, so an append only
/// checks the capacity.
struct ByteWriter: ~Copyable, @unchecked Sendable {
  private var start: UnsafeMutablePointer<UInt8>
  private var capacity: Int
  private var count = 0

  init(capacity: Int) {
    self.capacity = max(capacity, 16)
    start = .allocate(capacity: self.capacity)
  }

  deinit { start.deallocate() }

  /// A copy of the written bytes.
  var bytes: [UInt8] { withBytes { Array($0) } }

  /// The written bytes, without a copy.
  @inline(__always)
  func withBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    body(UnsafeBufferPointer(start: start, count: count))
  }

  mutating func removeAll() { count = 0 }

  @inline(__always)
  mutating func append(_ byte: UInt8) {
    append(atMost: 1) { buffer in
      buffer[0] = byte
      return 1
    }
  }

  @inline(__always)
  mutating func append(_ source: UnsafeBufferPointer<UInt8>) {
    append(atMost: source.count) { buffer in
      if let base = source.baseAddress { buffer.update(from: base, count: source.count) }
      return source.count
    }
  }

  @_disfavoredOverload
  mutating func append(_ text: String) {
    text.withBytes { append($0) }
  }

  /// Appends a literal.
  @inline(__always)
  mutating func append(_ text: StaticString) {
    append(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  /// Appends an integer in decimal digits.
  mutating func append(decimal number: Int64) {
    append(atMost: 20) { buffer in
      var rest = number.magnitude, length = 1
      var bound: UInt64 = 10
      while length < 20, rest >= bound {
        length &+= 1
        bound = length < 20 ? bound &* 10 : .max
      }
      let sign = number < 0 ? 1 : 0
      if sign == 1 { buffer[0] = ASCII.minus }
      for index in stride(from: sign &+ length &- 1, through: sign, by: -1) {
        buffer[index] = ASCII.zero &+ UInt8(truncatingIfNeeded: rest % 10)
        rest /= 10
      }
      return sign &+ length
    }
  }

  /// Appends a date in UTC: `2026-11-20`.
  mutating func append(dateOf time: Timestamp) {
    append(atMost: Timestamp.maxTextLength) { time.writeISO8601Date(to: $0) }
  }

  /// Appends at most `most` bytes.
  /// - Parameter write: fills the buffer and returns the number of bytes written.
  @inline(__always)
  mutating func append(atMost most: Int, _ write: (UnsafeMutablePointer<UInt8>) -> Int) {
    if capacity &- count < most { grow(by: most) }
    count &+= write(start + count)
  }

  @inline(never)
  private mutating func grow(by most: Int) {
    let larger = capacity + max(capacity, most)
    let moved = UnsafeMutablePointer<UInt8>.allocate(capacity: larger)
    moved.update(from: start, count: count)
    start.deallocate()
    (start, capacity) = (moved, larger)
  }
}

extension String {
  /// Builds a text from pieces with one allocation; an interpolation needs several.
  init(pieces: (inout ByteWriter) -> Void) {
    var writer = ByteWriter(capacity: 112)
    pieces(&writer)
    self = writer.withBytes { String(decoding: $0, as: UTF8.self) }
  }
}
