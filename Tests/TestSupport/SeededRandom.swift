import Foundation

/// SplitMix64 (Steele, Lea and Flood, 2014): the same seed makes the same run on every machine.
struct SeededRandom: RandomNumberGenerator {
  /// `JOURNEY_TEST_SEED`, or a fixed number. Failures that depend on it print it.
  static let seed = ProcessInfo.processInfo.environment["JOURNEY_TEST_SEED"].flatMap { UInt64($0) } ?? 20_251_121

  private var state: UInt64

  /// - Parameter stream: separates the tests, so that one test's draws do not change another's.
  init(stream: UInt64) { state = Self.seed &+ stream &* 0x9E37_79B9_7F4A_7C15 }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }

  mutating func uuid() -> String {
    var bytes = (0..<16).map { _ in UInt8.random(in: 0...255, using: &self) }
    bytes[6] = bytes[6] & 0x0F | 0x40
    bytes[8] = bytes[8] & 0x3F | 0x80
    let hex = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
    return [hex[0..<4], hex[4..<6], hex[6..<8], hex[8..<10], hex[10..<16]].map { $0.joined() }.joined(separator: "-")
  }
}
