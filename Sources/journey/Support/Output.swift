import FoundationEssentials

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// What a command prints: answers on standard output, progress and errors on standard error.
enum Output {
  static func line(_ text: String = "") { write(text + "\n", to: 1) }
  static func error(_ text: String) { write(text + "\n", to: 2) }

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
  /// A terminal that is too narrow gets what does not fit on further lines of each row, and only the end of a long text is cut.
  static func table(_ headings: [String], _ rows: [[String]], indent: String = "") {
    for text in TextTable(headings, rows).lines(width: columns(of: 1).map { $0 - indent.count }) { line(indent + text) }
  }
}
