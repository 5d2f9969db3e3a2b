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
  static func error(_ text: String) { write(text.printable + "\n", to: 2) }

  /// JSON in which characters that a terminal would obey are written as `\u009b`: the same values for a machine.
  static func json(_ text: String) {
    guard !text.unicodeScalars.allSatisfy(\.isPlain) else { return write(text + "\n", to: 1) }
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
    write(result + "\n", to: 1)
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
