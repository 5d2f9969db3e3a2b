/// Why a text is not acceptable JSON. It contains the position but none of the text.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The violated rule. All but the last five are from RFC 8259.
  public enum Code: String, Error, Hashable, Sendable {
    case unexpectedEnd = "the text ends in the middle of a value"
    case expectedValue = "a value is expected here"
    case expectedKey = "a key in double quotes is expected here"
    case expectedColon = "a colon is expected here"
    case expectedCommaOrBrace = "a comma or a closing brace is expected here"
    case expectedCommaOrBracket = "a comma or a closing bracket is expected here"
    case trailingBytes = "the text continues after its value"
    case invalidNumber = "this is not a valid JSON number"
    case invalidLiteral = "the only literals in JSON are true, false and null"
    case controlCharacter = "a control character in a string must be escaped"
    case invalidEscape = "this escape sequence does not exist in JSON"
    case invalidUTF8 = "these bytes are not UTF-8"
    case byteOrderMark = "the text starts with a byte order mark"
    /// RFC 8259 allows it, but UTF-8 text, and so a database, cannot hold it.
    case loneSurrogate = "an escaped surrogate has no partner"
    /// RFC 8259 allows it, but PostgreSQL's `text` and `jsonb` cannot hold it.
    case nulCharacter = "the character \\u0000 cannot be stored"
    case tooDeep = "the value is nested too deeply"
    case tooManyNodes = "the text has too many values"
    case tooLong = "the text is too long"
  }

  public var code: Code
  /// The byte of the violation, from 0.
  public var offset: Int
  /// The line and column of that byte, from 1. Columns count bytes.
  public var line: Int
  public var column: Int
  /// The JSON path of the innermost value around that byte: `$.data.items[3].name`.
  public var path: String

  public var description: String {
    "\(code.rawValue) (line \(line), column \(column), byte \(offset), in \(path))"
  }
}
