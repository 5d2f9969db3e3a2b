public import FoundationEssentials

extension UUID {
  /// A time-ordered id: 48 bits of Unix milliseconds, 10 bits of the microseconds within, the rest random.
  /// Source: RFC 9562, sections 5.7 and 6.2 (method 3).
  public static func v7(at time: Timestamp, using random: inout some RandomNumberGenerator) -> UUID {
    let milliseconds = UInt64(max(0, time.microseconds / 1000))
    let within = UInt64(max(0, time.microseconds) % 1000)
    let bits = random.next()
    let high = milliseconds << 16 | 0x7000 | within << 2 | (bits >> 62)
    let low = random.next() >> 2 | 1 << 63
    return withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { UUID(uuid: $0.loadUnaligned(as: uuid_t.self)) }
  }
}

extension UUID {
  /// When an id was made by `v7(at:using:)`, in microseconds; nil for other versions.
  public var timestamp: Timestamp? {
    let high = withUnsafeBytes(of: uuid) { UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)) }
    guard high >> 12 & 0xF == 7 else { return nil }
    return Timestamp(microseconds: Int64(high >> 16) * 1000 + Int64(high >> 2 & 0x3FF))
  }
}

/// Random bits for ids, seeded once by the system, because a system call per id is too slow for the hot path. Not for
/// secrets.
/// Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators" (SplitMix64).
public struct IDRandom: RandomNumberGenerator, Sendable {
  private var state = UInt64.random(in: .min ... .max)

  public init() {}

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
