extension StringProtocol {
  /// At most `characters` characters and four times as many bytes, since a character may have any number of bytes.
  public func shortened(to characters: Int) -> String {
    // Counting characters is slow; there are at most as many as bytes.
    guard utf8.count > characters else { return String(self) }
    let short = count > characters ? prefix(characters - 1) + "…" : String(self)
    return short.cut(toBytes: 4 * characters)
  }

  /// At most `limit` bytes of UTF-8, at least three, cut between scalars.
  public func cut(toBytes limit: Int) -> String {
    guard utf8.count > limit else { return String(self) }
    return beginning(ofBytes: limit - 3) + "…"
  }

  /// The whole scalars within the first `count` bytes. The text must be longer.
  func beginning(ofBytes count: Int) -> String {
    let text = String(self)
    var end = text.utf8.index(text.startIndex, offsetBy: count)
    while end.samePosition(in: text.unicodeScalars) == nil { end = text.utf8.index(before: end) }
    return String(text.unicodeScalars[..<end])
  }
}
