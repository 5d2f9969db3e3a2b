extension Unicode.Scalar {
  /// Whether the scalar is visible: no control character, line separator, bidirectional control or invisible character.
  /// In untrusted text these can forge lines, control a terminal, or disguise a line.
  public var isPlain: Bool {
    switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
    default: true
    }
  }
}

extension StringProtocol {
  /// The text on one line of at most `limit` characters, for logs and terminals. Other scalars are escaped as `\u{1b}`.
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

  /// `1 event waits`, `2 events wait`.
  public func waiting(_ thing: String) -> String { "\(of(thing)) \(self == 1 ? "waits" : "wait")" }
}
