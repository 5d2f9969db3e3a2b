import Foundation
import Testing

@testable import Journey

/// Comparisons eight bytes at a time, held against the plain ones.
@Suite("Order by bytes")
struct ByteOrderTests {
  /// Texts that start alike more often than not: of every length around a word's, with bytes on both sides of a signed
  /// byte's range.
  private static func text(_ random: inout SeededRandom) -> String {
    let pieces = ["a", "b", "é", "😀", "\u{0}", "evt_1000", "0000000000"]
    return (0..<Int.random(in: 0...6, using: &random)).map { _ in pieces.randomElement(using: &random)! }.joined()
  }

  @Test(arguments: propertySeeds) func textsCompareAsTheirBytesDo(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<2000 {
      let a = Self.text(&random), b = Self.text(&random)
      #expect(a.precedesByBytes(b) == a.utf8.lexicographicallyPrecedes(b.utf8), "\(a) \(b)")
      #expect(a.hasSameBytes(as: b) == a.utf8.elementsEqual(b.utf8), "\(a) \(b)")
      #expect(a.hasSameBytes(as: a) && !a.precedesByBytes(a))
    }
  }

  @Test func whatUnicodeCallsEquivalentIsTwoTexts() {
    let composed = "caf\u{e9}", decomposed = "cafe\u{301}"
    #expect(composed == decomposed)
    #expect(!composed.hasSameBytes(as: decomposed))
    #expect(decomposed.precedesByBytes(composed))
  }

  @Test(arguments: propertySeeds) func idsCompareAsTheirTextsDo(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    func id() -> UUID { UUID.v7(at: Timestamp(microseconds: .random(in: 0..<1 << 55, using: &random)), using: &random) }
    for _ in 0..<500 {
      let a = id()
      var bytes = a.uuid
      if Bool.random(using: &random) { bytes.15 &+= 1 } else { bytes = id().uuid }
      let b = UUID(uuid: bytes)
      #expect(a.precedesByBytes(b) == (a.text < b.text), "\(a) \(b)")
    }
  }

  /// One byte that needs an escape, at every place of texts of every length around a word's.
  @Test func whatNeedsAnEscapeIsFoundAtEveryPlace() {
    for length in 0...40 {
      let plain = [UInt8](repeating: UInt8(ascii: "x"), count: length)
      #expect(plain.withUnsafeBufferPointer { $0.isPlainInJSON && $0.isASCII })
      for place in 0..<length {
        for byte in 0...UInt8.max {
          var text = plain
          text[place] = byte
          let needsEscape = byte < 0x20 || byte == 0x22 || byte == 0x5C || byte == 0x7F
          #expect(text.withUnsafeBufferPointer { $0.isPlainInJSON } != needsEscape, "\(byte) at \(place) of \(length)")
          #expect(text.withUnsafeBufferPointer { $0.isASCII } == (byte < 0x80), "\(byte) at \(place) of \(length)")
        }
      }
    }
  }

  @Test func numbersAreWrittenAsSwiftWritesThem() {
    var numbers: [Int64] = [0, .min, .max, .min + 1, .max - 1]
    for power in 1...18 {
      let bound = (0..<power).reduce(Int64(1)) { product, _ in product * 10 }
      numbers += [bound - 1, bound, bound + 1, -bound, 1 - bound]
    }
    for number in numbers { #expect(String(pieces: { $0.append(decimal: number) }) == String(number)) }
  }

  @Test func aTextGrowsWithItsPieces() {
    let text = String(pieces: { text in for number in Int64(0)..<1000 { text.append(decimal: number) } })
    #expect(text == (0..<1000).map(String.init).joined())
  }

  /// Nothing but escapes, from the smallest storage on: each byte takes six.
  @Test func escapesFitTheReservedBytes() {
    for length in 0...40 {
      var json = JSONWriter(reservingCapacity: 0)
      json.string(String(repeating: "\u{1}", count: length))
      #expect(String(decoding: json.bytes, as: UTF8.self) == "\"" + String(repeating: "\\u0001", count: length) + "\"")
    }
  }

  @Test(arguments: propertySeeds) func aWriterGrowsByWhatItIsGiven(seed: UInt64) {
    var writer = ByteWriter(capacity: 0), expected: [UInt8] = []
    var random = SeededRandom(seed: seed)
    for _ in 0..<100 {
      let piece = (0..<Int.random(in: 0...200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      piece.withUnsafeBufferPointer { writer.append($0) }
      expected += piece
      #expect(writer.bytes == expected)
    }
    writer.removeAll()
    writer.append("again")
    #expect(writer.bytes == Array("again".utf8))
  }
}
