/// Finds out whether JSON may have members of some names, without parsing it: in one pass over the bytes, in which a
/// table says which byte after a quotation mark is the first of a name.
struct MemberNameScan: Sendable {
  /// The ends of the names, by their first byte: what follows it, and the quotation mark.
  private var names = [[[UInt8]]](repeating: [], count: 256)
  /// Whether a byte is the first of a name, in either case.
  private var isFirst = [Bool](repeating: false, count: 256)
  /// Whether there is a name that JSON or another case may write with other bytes. Then every text may have it.
  private var isUncertain = false

  /// - Parameter names: in lower case.
  init(_ names: Set<String>) {
    for name in names {
      let bytes = Array(name.utf8)
      guard let first = bytes.first, !bytes.contains(where: mayBeEscaped)
      else {
        isUncertain = true
        continue
      }
      self.names[Int(first)].append(bytes.dropFirst() + [quote])
      isFirst[Int(first)] = true
      if 0x61...0x7a ~= first { isFirst[Int(first) - 0x20] = true }
    }
  }

  /// - Returns: false if no member of the names is in the text. ASCII case does not matter.
  func mayOccur(in text: [UInt8]) -> Bool {
    if isUncertain { return true }
    return text.withUnsafeBufferPointer { text in
      isFirst.withUnsafeBufferPointer { isFirst in
        var at = 0
        while at + 1 < text.count {
          let byte = text[at]
          at += 1
          if byte == quote {
            if isFirst[Int(text[at])], isName(text, from: at) { return true }
          } else if byte == escape, isEscapedASCII(text, from: at) {
            return true
          }
        }
        return false
      }
    }
  }

  private func isName(_ text: UnsafeBufferPointer<UInt8>, from start: Int) -> Bool {
    names[Int(lowercased(text[start]))].contains { rest in
      guard start + rest.count < text.count else { return false }
      for index in 0..<rest.count where lowercased(text[start + 1 + index]) != rest[index] { return false }
      return true
    }
  }

  /// Whether `\u00` follows: any ASCII character can be written like this.
  private func isEscapedASCII(_ text: UnsafeBufferPointer<UInt8>, from start: Int) -> Bool {
    start + 2 < text.count && text[start] == 0x75 && text[start + 1] == 0x30 && text[start + 2] == 0x30
  }
}

private let quote = UInt8(ascii: "\"")
private let escape = UInt8(ascii: "\\")

private func mayBeEscaped(_ byte: UInt8) -> Bool {
  byte < 0x20 || byte >= 0x7f || byte == quote || byte == escape || byte == UInt8(ascii: "/")
}

private func lowercased(_ byte: UInt8) -> UInt8 { 0x41...0x5a ~= byte ? byte | 0x20 : byte }
