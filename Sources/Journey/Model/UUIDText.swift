public import FoundationEssentials

extension UUID {
  /// The id in lower case, as PostgreSQL and RFC 9562 write it. `uuidString` goes through a C format string, which shows on the hot path.
  public var text: String {
    String(unsafeUninitializedCapacity: 36) { text in
      writeText { text[$0] = $1 }
      return 36
    }
  }

  func appendText(to bytes: inout [UInt8]) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 36) { text in
      writeText { text[$0] = $1 }
      bytes.append(contentsOf: UnsafeBufferPointer(text))
    }
  }

  @inline(__always)
  private func writeText(_ set: (Int, UInt8) -> Void) {
    withUnsafeBytes(of: uuid) { bytes in
      var place = 0
      for index in 0..<16 {
        if index == 4 || index == 6 || index == 8 || index == 10 {
          set(place, ASCII.minus)
          place += 1
        }
        set(place, Self.digit(bytes[index] >> 4))
        set(place + 1, Self.digit(bytes[index] & 0xf))
        place += 2
      }
    }
  }

  private static func digit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
  }

  /// Reads the form 8-4-4-4-12 of hexadecimal digits in either case. Twenty times as fast as `UUID(uuidString:)`, which
  /// two fields of every event would pay for.
  init?(hyphenated text: String) {
    var text = text
    let uuid: uuid_t? = text.withUTF8 { source in
      guard source.count == 36, let base = source.baseAddress else { return nil }
      var halves: (UInt64, UInt64) = (0, 0)
      for at in 0..<36 {
        if at == 8 || at == 13 || at == 18 || at == 23 {
          if base[at] != ASCII.minus { return nil }
          continue
        }
        guard let digit = ASCII.hexDigit(base[at]) else { return nil }
        if at < 19 { halves.0 = halves.0 << 4 | UInt64(digit) } else { halves.1 = halves.1 << 4 | UInt64(digit) }
      }
      let bytes = (halves.0.bigEndian, halves.1.bigEndian)
      return withUnsafeBytes(of: bytes) { $0.loadUnaligned(as: uuid_t.self) }
    }
    guard let uuid else { return nil }
    self.init(uuid: uuid)
  }
}
