import Journey

extension JSONWriter {
  /// An object of numbers.
  mutating func numbers(_ members: [(String, Int)]) {
    beginObject()
    for (name, number) in members {
      key(name)
      int(number)
    }
    endObject()
  }
}
