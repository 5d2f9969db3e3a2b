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
    if isatty(2) == 1 { write("\r\u{1B}[K" + text, to: 2) }
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

  /// Rows under headings, each column as wide as its widest cell.
  static func table(_ headings: [String], _ rows: [[String]], indent: String = "") {
    let all = [headings] + rows
    let widths = headings.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
    for row in all {
      let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
      var text = indent + cells.joined(separator: "  ")
      while text.last == " " { text.removeLast() }
      line(text)
    }
  }
}
