public import FoundationEssentials

extension UUID {
  /// All bits are zero: the least of all, and no id of anything.
  public static let zero = UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))

  /// The id in lower case, as in PostgreSQL and RFC 9562. `uuidString` uses a C format string, which is too slow for
  /// the hot path.
  public var text: String {
    String(unsafeUninitializedCapacity: Self.textLength) { writeText(to: $0.baseAddress.unsafelyUnwrapped) }
  }

  static let textLength = 36

  /// Writes `text`.
  @inline(__always)
  func writeText(to buffer: UnsafeMutablePointer<UInt8>) -> Int {
    withUnsafeBytes(of: uuid) { bytes in
      func digits(_ from: Int) -> UInt64 {
        Self.digits(of: UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: from, as: UInt32.self))).bigEndian
      }
      let raw = UnsafeMutableRawPointer(buffer)
      let second = digits(4), third = digits(8)
      raw.storeBytes(of: digits(0), as: UInt64.self)
      raw.storeBytes(of: UInt32(truncatingIfNeeded: second), toByteOffset: 9, as: UInt32.self)
      raw.storeBytes(of: UInt32(truncatingIfNeeded: second >> 32), toByteOffset: 14, as: UInt32.self)
      raw.storeBytes(of: UInt32(truncatingIfNeeded: third), toByteOffset: 19, as: UInt32.self)
      raw.storeBytes(of: UInt32(truncatingIfNeeded: third >> 32), toByteOffset: 24, as: UInt32.self)
      raw.storeBytes(of: digits(12), toByteOffset: 28, as: UInt64.self)
      buffer[8] = ASCII.minus
      buffer[13] = ASCII.minus
      buffer[18] = ASCII.minus
      buffer[23] = ASCII.minus
      return Self.textLength
    }
  }

  /// The eight hexadecimal digits of a number, computed in parallel, the first in the highest byte.
  @inline(__always)
  private static func digits(of number: UInt32) -> UInt64 {
    var spread = UInt64(number)
    spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF
    spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF
    spread = (spread | spread << 4) & 0x0F0F_0F0F_0F0F_0F0F
    // 1 in each byte that is a...f.
    let isLetter = (spread &+ 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
    return spread &+ 0x3030_3030_3030_3030 &+ isLetter &* 0x27
  }

  /// Parses 8-4-4-4-12 hexadecimal digits in either case. Much faster than `UUID(uuidString:)`; every event has two ids
  /// to parse.
  public init?(hyphenated text: String) {
    guard let id = text.withBytes({ UUID(hyphenated: $0) }) else { return nil }
    self = id
  }

  init?(hyphenated source: UnsafeBufferPointer<UInt8>) {
    let uuid: uuid_t? = {
      guard source.count == Self.textLength, let base = source.baseAddress, base[8] == ASCII.minus,
        base[13] == ASCII.minus, base[18] == ASCII.minus, base[23] == ASCII.minus
      else { return nil }
      let raw = UnsafeRawPointer(base)
      func half(_ first: Int, _ second: Int) -> UInt64 {
        UInt64(UInt32(bigEndian: raw.loadUnaligned(fromByteOffset: first, as: UInt32.self))) << 32
          | UInt64(UInt32(bigEndian: raw.loadUnaligned(fromByteOffset: second, as: UInt32.self)))
      }
      guard let a = Self.number(half(0, 4)), let b = Self.number(half(9, 14)), let c = Self.number(half(19, 24)),
        let d = Self.number(half(28, 32))
      else { return nil }
      let bytes = (a.bigEndian, b.bigEndian, c.bigEndian, d.bigEndian)
      return withUnsafeBytes(of: bytes) { $0.loadUnaligned(as: uuid_t.self) }
    }()
    guard let uuid else { return nil }
    self.init(uuid: uuid)
  }

  /// The number of eight hexadecimal digits, computed in parallel, the first in the highest byte; nil if any byte is
  /// not a digit.
  @inline(__always)
  private static func number(_ digits: UInt64) -> UInt32? {
    let high: UInt64 = 0x8080_8080_8080_8080
    guard digits & high == 0 else { return nil }
    // The highest bit of each byte: whether it is in 0...9, or in a...f in lower case.
    let lower = digits | 0x2020_2020_2020_2020
    let isDigit = (digits &+ 0x5050_5050_5050_5050) & ~(digits &+ 0x4646_4646_4646_4646)
    let isLetter = (lower &+ 0x1F1F_1F1F_1F1F_1F1F) & ~(lower &+ 0x1919_1919_1919_1919)
    guard (isDigit | isLetter) & high == high else { return nil }
    var packed = (digits & 0x0F0F_0F0F_0F0F_0F0F) &+ (digits >> 6 & 0x0101_0101_0101_0101) &* 9
    packed = (packed | packed >> 4) & 0x00FF_00FF_00FF_00FF
    packed = (packed | packed >> 8) & 0x0000_FFFF_0000_FFFF
    return UInt32(truncatingIfNeeded: packed | packed >> 16)
  }
}
