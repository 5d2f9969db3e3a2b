import Journey

/// Comma-separated values; semicolons, if only they separate the first line. Source: RFC 4180.
enum CSV {
  /// A quoted field that does not end.
  struct Unterminated: Error {
    var line: Int
  }

  /// The rows that are not empty, with the numbers of their first lines from 1. Spaces around fields are dropped.
  static func rows(_ text: String) throws(Unterminated) -> [(line: Int, fields: [String])] {
    var rows: [(line: Int, fields: [String])] = []
    // A byte order mark, as spreadsheets write it.
    let text = text.unicodeScalars.first == "\u{FEFF}" ? String(text.unicodeScalars.dropFirst()) : text
    let first = text.prefix { !$0.isNewline }
    let separator: Character = first.contains(";") && !first.contains(",") ? ";" : ","
    var fields: [String] = [], field = "", isQuoted = false, wasQuoted = false, line = 1, start = 1

    func ended() -> String { wasQuoted ? field : field.trimmed }
    func end() {
      fields.append(ended())
      if fields != [""] { rows.append((start, fields)) }
      (fields, field, wasQuoted) = ([], "", false)
    }

    var rest = text[...]
    while let character = rest.popFirst() {
      if character.isNewline { line += 1 }
      switch character {
      case "\"" where isQuoted && rest.first == "\"":
        field.append(character)
        rest.removeFirst()
      case "\"" where isQuoted: isQuoted = false
      case "\"" where field.allSatisfy(\.isWhitespace):
        (field, isQuoted, wasQuoted) = ("", true, true)
      case separator where !isQuoted:
        fields.append(ended())
        (field, wasQuoted) = ("", false)
      case _ where character.isNewline && !isQuoted:
        end()
        start = line
      case _ where wasQuoted && !isQuoted && character.isWhitespace: break
      default: field.append(character)
      }
    }
    if isQuoted { throw Unterminated(line: start) }
    end()
    return rows
  }
}

extension String {
  fileprivate var trimmed: String {
    var text = Substring(self).drop(while: \.isWhitespace)
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
  }
}
