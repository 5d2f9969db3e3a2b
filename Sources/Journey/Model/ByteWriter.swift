/// Bytes that grow at the end, for the texts and the states that are written on the hot path: room is asked for once a piece, where an array of bytes asks
/// once a byte.
struct ByteWriter: Sendable {
  /// Longer than what is written.
  private var storage: [UInt8]
  private var count = 0

  init(capacity: Int) { storage = [UInt8](repeating: 0, count: max(capacity, 16)) }

  /// A copy of what is written.
  var bytes: [UInt8] { storage.withUnsafeBufferPointer { Array($0[..<count]) } }

  mutating func removeAll() { count = 0 }

  mutating func append(_ byte: UInt8) {
    append(atMost: 1) { room in
      room[0] = byte
      return 1
    }
  }

  mutating func append(_ source: UnsafeBufferPointer<UInt8>) {
    append(atMost: source.count) { room in
      if let base = source.baseAddress { room.update(from: base, count: source.count) }
      return source.count
    }
  }

  mutating func append(_ text: String) {
    var text = text
    text.withUTF8 { append($0) }
  }

  /// Appends a piece of at most `most` bytes.
  /// - Parameter write: fills the room that it is given and returns how much of it.
  @inline(__always)
  mutating func append(atMost most: Int, _ write: (UnsafeMutablePointer<UInt8>) -> Int) {
    let start = count
    if storage.count &- start < most { grow(by: most) }
    count = start &+ storage.withUnsafeMutableBufferPointer { write($0.baseAddress.unsafelyUnwrapped + start) }
  }

  @inline(never)
  private mutating func grow(by most: Int) {
    storage += [UInt8](repeating: 0, count: max(storage.count, most))
  }
}
