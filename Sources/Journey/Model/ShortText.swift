extension StringProtocol {
  /// At most so many characters, and four times as many bytes: a character may be made of any number of them.
  public func shortened(to characters: Int) -> String {
    // Counting characters is slow, and a text has at most as many as it has bytes.
    guard utf8.count > characters else { return String(self) }
    let short = count > characters ? prefix(characters - 1) + "…" : String(self)
    return short.cut(toBytes: 4 * characters)
  }

  /// At most so many bytes of UTF-8, three at least, cut between scalars.
  public func cut(toBytes limit: Int) -> String {
    guard utf8.count > limit else { return String(self) }
    return beginning(ofBytes: limit - 3) + "…"
  }

  /// What lies within so many bytes, in whole scalars. The text is longer.
  func beginning(ofBytes count: Int) -> String {
    let text = String(self)
    var end = text.utf8.index(text.startIndex, offsetBy: count)
    while end.samePosition(in: text.unicodeScalars) == nil { end = text.utf8.index(before: end) }
    return String(text.unicodeScalars[..<end])
  }
}
