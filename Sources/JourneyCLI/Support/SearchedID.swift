import Journey

/// An id as it is searched for in bodies.
struct SearchedID {
  let text: String
  /// What it is in a JSON string.
  let bytes: [UInt8]
  private let isNumber: Bool

  init(_ text: String) {
    self.text = text
    var json = JSONWriter()
    json.string(text)
    bytes = Array(json.bytes.dropFirst().dropLast())
    isNumber = !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
  }

  /// Whether it occurs as a whole: as a string, or as a number.
  func occurs(in body: some Collection<UInt8>) -> Bool {
    let body = Array(body), quote = UInt8(ascii: "\"")
    var start = 0
    while let range = body[start...].firstRange(of: bytes) {
      let before = range.lowerBound > 0 ? body[range.lowerBound - 1] : 0x20
      let after = range.upperBound < body.count ? body[range.upperBound] : 0x20
      if before == quote && after == quote { return true }
      if isNumber && !Self.isOfNumber(before) && !Self.isOfNumber(after) { return true }
      start = range.lowerBound + 1
    }
    return false
  }

  private static func isOfNumber(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || "+-.eE\"".utf8.contains(byte)
  }
}
