public import FoundationEssentials

/// The order of texts by their UTF-8 bytes, as PostgreSQL's collation "C" compares: two texts that Unicode calls equivalent are still two. Eight bytes are
/// compared at a time, since ids tend to start alike.
extension String {
  public func hasSameBytes(as other: String) -> Bool { utf8.count == other.utf8.count && difference(from: other) == 0 }

  public func precedesByBytes(_ other: String) -> Bool { difference(from: other) < 0 }

  /// Below 0 where the bytes of this text come first, above 0 where the other's do.
  private func difference(from other: String) -> Int {
    let fast = utf8.withContiguousStorageIfAvailable { a in other.utf8.withContiguousStorageIfAvailable { b in a.difference(from: b) } }
    if case .some(.some(let difference)) = fast { return difference }
    return Array(utf8).withUnsafeBufferPointer { a in Array(other.utf8).withUnsafeBufferPointer { b in a.difference(from: b) } }
  }
}

extension UnsafeBufferPointer<UInt8> {
  fileprivate func difference(from other: Self) -> Int {
    let common = Swift.min(count, other.count)
    let a = UnsafeRawBufferPointer(self), b = UnsafeRawBufferPointer(other)
    var at = 0
    while at &+ 8 <= common {
      let mine = UInt64(bigEndian: a.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      let theirs = UInt64(bigEndian: b.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      if mine != theirs { return mine < theirs ? -1 : 1 }
      at &+= 8
    }
    while at < common {
      if a[at] != b[at] { return Int(a[at]) - Int(b[at]) }
      at &+= 1
    }
    return count - other.count
  }

  var isASCII: Bool {
    let raw = UnsafeRawBufferPointer(self)
    var at = 0
    while at &+ 8 <= count {
      if raw.loadUnaligned(fromByteOffset: at, as: UInt64.self) & 0x8080_8080_8080_8080 != 0 { return false }
      at &+= 8
    }
    while at < count {
      if raw[at] >= 0x80 { return false }
      at &+= 1
    }
    return true
  }

  /// Whether no byte needs an escape in a JSON text: no control character, quote, backslash or DEL.
  var isPlainInJSON: Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    let raw = UnsafeRawBufferPointer(self)
    var at = 0
    // As in `JSONParser`: what a borrow marks too many comes after a true mark, so there is none exactly where there is nothing to mark.
    while at &+ 8 <= count {
      let word = raw.loadUnaligned(fromByteOffset: at, as: UInt64.self)
      let quotes = word ^ (ones &* UInt64(ASCII.quote)), slashes = word ^ (ones &* UInt64(ASCII.backslash)), deletes = word ^ (ones &* 0x7F)
      let marks =
        ((quotes &- ones) & ~quotes) | ((slashes &- ones) & ~slashes) | ((deletes &- ones) & ~deletes) | ((word &- (ones &* 0x20)) & ~word)
      if marks & highs != 0 { return false }
      at &+= 8
    }
    while at < count {
      let byte = raw[at]
      if byte < 0x20 || byte == ASCII.quote || byte == ASCII.backslash || byte == 0x7F { return false }
      at &+= 1
    }
    return true
  }
}

extension UUID {
  /// The order of the bytes, as PostgreSQL compares.
  public func precedesByBytes(_ other: UUID) -> Bool {
    withUnsafeBytes(of: uuid) { a in
      withUnsafeBytes(of: other.uuid) { b in
        let first = UInt64(bigEndian: a.loadUnaligned(as: UInt64.self)), second = UInt64(bigEndian: b.loadUnaligned(as: UInt64.self))
        if first != second { return first < second }
        return UInt64(bigEndian: a.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
          < UInt64(bigEndian: b.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
      }
    }
  }
}
