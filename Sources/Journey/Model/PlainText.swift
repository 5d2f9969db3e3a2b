extension Unicode.Scalar {
  /// Whether it shows as itself: no control character, no end of a line, none that turns the direction of text or is
  /// invisible. Such a character in a text of others' begins lines that nobody wrote, steers a terminal, or makes a
  /// line read as another.
  public var isPlain: Bool {
    switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
    default: true
    }
  }
}

extension StringProtocol {
  /// The text on one line of at most so many characters, for logs and terminals: what is not plain is written as
  /// `\u{1b}`.
  public func plain(_ limit: Int = .max) -> String {
    var result = "", count = 0
    for scalar in unicodeScalars {
      guard count < limit else { return result + "…" }
      if scalar.isPlain {
        result.unicodeScalars.append(scalar)
        count += 1
      } else {
        let escape = "\\u{\(String(scalar.value, radix: 16))}"
        result += escape
        count += escape.count
      }
    }
    return result
  }
}

extension Int {
  /// `1 byte`, `2 bytes`.
  public func of(_ thing: String) -> String { "\(self) \(thing)\(self == 1 ? "" : "s")" }
}
