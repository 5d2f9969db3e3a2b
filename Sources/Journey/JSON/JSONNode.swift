/// The kinds of JSON values.
public enum JSONKind: UInt8, Sendable {
  case object, array, string, number, `true`, `false`, null
}

/// One value on the tape of a `JSONDocument`. It takes 16 bytes, so that a body of 400 bytes needs less than 1 KiB.
///
/// Nodes are in document order. An object's node is followed by key, value, key, value, …; an array's by its elements.
struct JSONNode: Sendable {
  /// The range of the value's bytes; a string without its quotes.
  var start: UInt32
  var end: UInt32
  /// The index of the first node after this value; 0 while the parser is inside it.
  var next: UInt32
  var kind: JSONKind
  /// For a string: it contains a backslash. For a number: it has a fraction or an exponent.
  var isComplex: Bool
}
