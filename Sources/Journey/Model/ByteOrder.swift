public import FoundationEssentials

/// Compares texts by their UTF-8 bytes, like PostgreSQL's collation "C": texts that are canonically equivalent in
/// Unicode still differ. Compares eight bytes at a time, since ids often share a prefix.
extension String {
  public func hasSameBytes(as other: String) -> Bool { utf8.count == other.utf8.count && difference(from: other) == 0 }

  public func precedesByBytes(_ other: String) -> Bool { difference(from: other) < 0 }

  /// Negative if this text sorts first, positive if the other does.
  private func difference(from other: String) -> Int {
    withBytes { mine in other.withBytes { UnsafeRawBufferPointer(mine).difference(from: UnsafeRawBufferPointer($0)) } }
  }

  /// The UTF-8 bytes in place. `withUTF8` would need a variable, and so another reference count.
  @inline(__always)
  func withBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    if let result = utf8.withContiguousStorageIfAvailable(body) { return result }
    var copy = self
    return copy.withUTF8(body)
  }
}

extension UnsafeRawBufferPointer {
  /// Negative if these bytes sort first, positive if the other's do.
  public func difference(from other: Self) -> Int {
    let common = Swift.min(count, other.count)
    var at = 0
    while at &+ 8 <= common {
      let mine = UInt64(bigEndian: loadUnaligned(fromByteOffset: at, as: UInt64.self))
      let theirs = UInt64(bigEndian: other.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      if mine != theirs { return mine < theirs ? -1 : 1 }
      at &+= 8
    }
    while at < common {
      if self[at] != other[at] { return Int(self[at]) - Int(other[at]) }
      at &+= 1
    }
    return count - other.count
  }
}

extension UUID {
  /// The order of the bytes, as in PostgreSQL.
  public func precedesByBytes(_ other: UUID) -> Bool {
    withUnsafeBytes(of: uuid) { a in
      withUnsafeBytes(of: other.uuid) { b in
        let first = UInt64(bigEndian: a.loadUnaligned(as: UInt64.self)),
          second = UInt64(bigEndian: b.loadUnaligned(as: UInt64.self))
        if first != second { return first < second }
        return UInt64(bigEndian: a.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
          < UInt64(bigEndian: b.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
      }
    }
  }
}

extension String {
  /// A hash of the bytes that is the same in every process and version, for what is stored. FNV-1a, 64 bits.
  var stableHash: UInt64 {
    withBytes { $0.reduce(0xcbf2_9ce4_8422_2325) { hash, byte in (hash ^ UInt64(byte)) &* 0x100_0000_01b3 } }
  }

  /// The first 16 bytes as a number, which is larger for a text that comes later in the order of bytes.
  var start: UInt128 {
    withBytes { bytes in
      var start: UInt128 = 0
      withUnsafeMutableBytes(of: &start) {
        $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes).prefix(16)))
      }
      return UInt128(bigEndian: start)
    }
  }
}
