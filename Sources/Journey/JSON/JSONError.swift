/// Why a text is not the JSON that this adapter takes: the place, and never what stands there.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The rule that the text breaks. All but the last five are RFC 8259.
  public enum Code: String, Error, Hashable, Sendable {
    case unexpectedEnd = "the text ends in the middle of a value"
    case expectedValue = "a value is expected here"
    case expectedKey = "a key in double quotes is expected here"
    case expectedColon = "a colon is expected here"
    case expectedCommaOrBrace = "a comma or a closing brace is expected here"
    case expectedCommaOrBracket = "a comma or a closing bracket is expected here"
    case trailingBytes = "the text goes on after its value"
    case invalidNumber = "this number is not written as JSON writes numbers"
    case invalidLiteral = "only true, false and null are words in JSON"
    case controlCharacter = "a control character in a string must be escaped"
    case invalidEscape = "this escape sequence does not exist in JSON"
    case invalidUTF8 = "these bytes are not UTF-8"
    case byteOrderMark = "the text starts with a byte order mark"
    /// RFC 8259 allows it; no UTF-8 text, and so no database, can hold it.
    case loneSurrogate = "an escaped surrogate has no partner"
    /// RFC 8259 allows it; PostgreSQL's `text` and `jsonb` cannot hold it.
    case nulCharacter = "the character \\u0000 cannot be stored"
    case tooDeep = "the value is nested too deeply"
    case tooManyNodes = "the text has too many values"
    case tooLong = "the text is too long"
  }

  public var code: Code
  /// The byte at which the rule is broken, from 0.
  public var offset: Int
  /// Line and column of that byte, from 1; columns count bytes.
  public var line: Int
  public var column: Int
  /// The innermost value around that byte, as a JSON path: `$.data.items[3].name`.
  public var path: String

  public var description: String {
    "\(code.rawValue) (line \(line), column \(column), byte \(offset), in \(path))"
  }
}
