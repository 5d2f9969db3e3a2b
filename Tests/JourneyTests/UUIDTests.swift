import FoundationEssentials
import Journey
import Testing

@Suite struct UUIDTests {
  private static func milliseconds(of id: UUID) -> UInt64 {
    let b = id.uuid
    return [b.0, b.1, b.2, b.3, b.4, b.5].reduce(0) { $0 << 8 | UInt64($1) }
  }

  @Test(arguments: propertySeeds)
  func versionVariantAndTimeAreWhereTheStandardPutsThem(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<200 {
      let time = Timestamp(microseconds: .random(in: 0..<1 << 55, using: &random))
      let id = UUID.v7(at: time, using: &random)
      #expect(id.uuid.6 >> 4 == 7)
      #expect(id.uuid.8 >> 6 == 0b10)
      #expect(Self.milliseconds(of: id) == UInt64(time.microseconds / 1000))
    }
  }

  @Test func theExampleOfRFC9562HasItsTimeInFront() {
    // Appendix A.6: 2022-02-22T19:22:22Z.
    var random = SeededRandom(seed: 1)
    #expect(UUID.v7(at: Timestamp(seconds: 1_645_557_742), using: &random).uuidString.hasPrefix("017F22E2-79B0-7"))
  }

  @Test func laterIdsSortBehindEarlierOnes() {
    var random = SeededRandom(seed: 5)
    let ids = (0..<2000).map { UUID.v7(at: .present + TimeSpan(microseconds: Int64($0) * 1000), using: &random) }
    #expect(ids.map(\.uuidString).sorted() == ids.map(\.uuidString))
  }

  @Test func idsAreInTheOrderOfTheirMicroseconds() {
    var random = SeededRandom(seed: 10)
    let ids = (0..<3000).map { UUID.v7(at: .present + TimeSpan(microseconds: $0), using: &random) }
    #expect(zip(ids, ids.dropFirst()).allSatisfy { $0 < $1 })
  }

  @Test func idsOfOneMomentDifferInAllTheirRandomBits() {
    var random = SeededRandom(seed: 9)
    let ids = (0..<5000).map { _ in UUID.v7(at: .present, using: &random) }
    #expect(Set(ids).count == ids.count)
    var zeros = [UInt8](repeating: 0xff, count: 16), ones = [UInt8](repeating: 0, count: 16)
    for id in ids {
      withUnsafeBytes(of: id.uuid) { bytes in
        for index in 0..<16 {
          zeros[index] &= bytes[index]
          ones[index] |= bytes[index]
        }
      }
    }
    let varying = zip(zeros, ones).map { $0 ^ $1 }
    #expect(varying == [0, 0, 0, 0, 0, 0, 0, 0x03, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
  }

  @Test func aTimeBefore1970CountsAs1970() {
    var random = SeededRandom(seed: 1)
    let id = UUID.v7(at: Timestamp(microseconds: -1_000_000), using: &random)
    #expect(Self.milliseconds(of: id) == 0)
    #expect(id.uuid.6 >> 4 == 7)
  }

  @Test func readsHexadecimalDigitsAndNothingElse() {
    let text = Array("01234567-89ab-cdef-0123-456789abcdef".utf8)
    for index in text.indices {
      for byte in UInt8.min...127 {
        var changed = text
        changed[index] = byte
        let read = UUID(hyphenated: String(decoding: changed, as: UTF8.self))
        let isDigit = Character(Unicode.Scalar(byte)).isHexDigit && byte < 128
        let isValid = text[index] == UInt8(ascii: "-") ? byte == text[index] : isDigit
        #expect((read != nil) == isValid, "\(byte) at \(index)")
        #expect(read == (isValid ? UUID(uuidString: String(decoding: changed, as: UTF8.self)) : nil))
      }
    }
    #expect(UUID(hyphenated: "01234567-89ab-cdef-0123-4567890é") == nil)
  }
}
