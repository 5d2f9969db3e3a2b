import FoundationEssentials
import Journey
import Glibc

/// What a command prints: answers on standard output, progress and errors on standard error.
///
/// What came from outside steers no terminal: here, for all commands at once, control characters and those that turn
/// the direction of text are escaped. Where such a text stands within a line, the caller takes `plain()` of it, which
/// also keeps it on that line.
enum Output {
  static func line(_ text: String = "") { write(text.printable + "\n", to: 1) }
  /// A text after a prefix. Where the terminal is too narrow, the text goes on below its beginning.
  static func line(_ prefix: String, _ text: String) { line(prefix + wrapped(text, indent: prefix.count)) }
  /// A line that begins with a mark in a colour, e.g. a verdict.
  static func line(_ mark: String, _ color: Color, _ text: String) {
    write(colored(mark, color, on: 1) + text.printable + "\n", to: 1)
  }
  static func error(_ text: String) { write(text.printable + "\n", to: 2) }

  /// Whether the command line asks for JSON, also where it cannot be parsed.
  static let isJSON = CommandLine.arguments.prefix { $0 != "--" }.contains("--json")

  /// Why a command has failed: the last line of standard error, with `--json` one object.
  static func failure(_ status: Int32, _ message: String, advice: String?) {
    guard isJSON else {
      let mark = "journey:"
      let text = "\(mark) \(message)" + (advice.map { (message.last == "?" ? " " : "; ") + $0 } ?? "")
      let rest = String(wrapped(text, on: 2).dropFirst(mark.count))
      return write(colored(mark, .red, on: 2) + rest.printable + "\n", to: 2)
    }
    let error: JSONObject = ["status": Int(status), "message": message, "advice": advice]
    json(String(decoding: encodeJSON(["error": error] as JSONObject), as: UTF8.self), to: 2)
  }

  /// JSON in which characters that a terminal would obey are written as `\u009b`: the same values for a machine.
  static func json(_ text: String, to descriptor: Int32 = 1) {
    guard !text.unicodeScalars.allSatisfy(\.isPlain) else { return write(text + "\n", to: descriptor) }
    var result = ""
    for scalar in text.unicodeScalars {
      // What stands between values is left: a reader of JSON takes no escape there.
      if scalar.isPlain || scalar.value < 0x20 {
        result.unicodeScalars.append(scalar)
      } else {
        for unit in String(scalar).utf16 {
          result += "\\u" + String(repeating: "0", count: 4 - String(unit, radix: 16).count) + String(unit, radix: 16)
        }
      }
    }
    write(result + "\n", to: descriptor)
  }

  /// A line that replaces the one before it, where a person is looking; nothing otherwise.
  static func progress(_ text: String) {
    if isatty(2) == 1 { write("\r\u{1B}[K" + text.line(columns(of: 2) ?? .max), to: 2) }
  }
  static func endProgress() {
    if isatty(2) == 1 { write("\r\u{1B}[K", to: 2) }
  }

  static func write(_ text: String, to descriptor: Int32) { write(Array(text.utf8), to: descriptor) }

  static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var bytes = bytes[...]
    while !bytes.isEmpty {
      let written = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      guard written > 0 else { return }
      bytes = bytes.dropFirst(written)
    }
  }

  /// How many characters a line of the terminal holds; nil where nobody is looking.
  static func columns(of descriptor: Int32) -> Int? {
    var size = winsize()
    guard isatty(descriptor) == 1, ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }

  /// A text with a line break wherever the next word would not fit on the terminal. A word is never broken.
  ///
  /// - Parameter indent: the column in which the text begins: all further lines begin there too.
  static func wrapped(_ text: String, indent: Int = 0, on descriptor: Int32 = 1) -> String {
    text.wrapped(indent: indent, width: columns(of: descriptor))
  }

  enum Color: Int {
    case red = 31, green, yellow
  }

  /// A text in a colour, where a person is looking: not into a file, and not where NO_COLOR is set. CLICOLOR_FORCE
  /// stands for a terminal. To be written as it is: all else in it is escaped already.
  static func colored(_ text: String, _ color: Color, on descriptor: Int32) -> String {
    let environment = ProcessInfo.processInfo.environment
    let isSet = { (name: String) in !(environment[name] ?? "").isEmpty }
    guard !isSet("NO_COLOR"), isSet("CLICOLOR_FORCE") || isatty(descriptor) == 1 && environment["TERM"] != "dumb" else {
      return text.printable
    }
    return "\u{1B}[\(color.rawValue)m\(text.printable)\u{1B}[0m"
  }

  /// Rows under headings, each column as wide as its widest cell, numbers to the right.
  ///
  /// A terminal that is too narrow gets what does not fit on further lines of each row, and only the end of a long text
  /// is cut.
  static func table(_ headings: [String], _ rows: [[String]], indent: String = "") {
    for text in TextTable(headings, rows.map { $0.map { $0.plain() } }).lines(
      width: columns(of: 1).map { $0 - indent.count })
    { line(indent + text) }
  }
}

/// Prints a command's answer as one JSON value.
func printJSON(_ value: some Encodable) { Output.json(String(decoding: encodeJSON(value), as: UTF8.self)) }

extension String {
  /// - Parameter width: nil where there is no limit.
  func wrapped(indent: Int, width: Int?) -> String {
    // A column narrower than this would be harder to read than what a terminal breaks.
    let capacity = Swift.max(20, (width ?? .max) - indent)
    let lines = split(separator: "\n", omittingEmptySubsequences: false).flatMap { line in
      var lines: [String] = []
      for word in line.split(separator: " ", omittingEmptySubsequences: false) {
        if let last = lines.last, last.count + 1 + word.count <= capacity {
          lines[lines.count - 1] = "\(last) \(word)"
        } else {
          lines.append(String(word))
        }
      }
      return lines
    }
    return lines.joined(separator: "\n" + String(repeating: " ", count: indent))
  }
}
