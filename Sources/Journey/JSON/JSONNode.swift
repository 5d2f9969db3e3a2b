/// What kind of value a JSON text holds.
public enum JSONKind: UInt8, Sendable {
  case object, array, string, number, `true`, `false`, null
}

/// One value on the tape of a `JSONDocument`: 16 bytes, so that a body of 400 bytes needs less than 1 KiB.
///
/// Nodes lie in document order. An object's node is followed by key, value, key, value, …; an array's by its elements.
struct JSONNode: Sendable {
  /// The value's bytes in the text; for a string without its quotes.
  var start: UInt32
  var end: UInt32
  /// The index of the first node after this one and all that it holds; 0 while the parser is still inside it.
  var next: UInt32
  var kind: JSONKind
  /// For a string: it contains a backslash. For a number: it has a fraction or an exponent.
  var isComplex: Bool
}
