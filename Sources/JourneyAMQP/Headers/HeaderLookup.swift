import AMQPClient

extension FieldTable {
  /// The text of a header, whatever the case of its name. A name in the case of the mapping is found first.
  func header(_ name: String) -> String? {
    if let value = self[name] { return value.headerText }
    return first { $0.name.isEqualIgnoringCase(to: name) }?.value.headerText
  }
}

extension String {
  /// Whether two names differ at most in upper and lower case (ASCII).
  func isEqualIgnoringCase(to other: String) -> Bool {
    utf8.count == other.utf8.count && zip(utf8, other.utf8).allSatisfy { $0 == $1 || Self.lower($0) == Self.lower($1) }
  }

  private static func lower(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
}
