import Foundation
import Glibc
import Synchronization

/// Progress on standard error, results on standard output.
///
/// Colours only where a person watches; NO_COLOR (https://no-color.org) switches them off there too.
final class Console: Sendable {
  enum Style: String {
    case bold = "1"
    case dim = "2"
    case red = "31"
    case green = "32"
    case yellow = "33"
  }

  private struct Progress {
    var number = 0
    var began: ContinuousClock.Instant?
  }

  let isTerminal = isatty(STDERR_FILENO) == 1
  private let isColoured: Bool
  private let steps: Int
  private let progress = Mutex(Progress())

  init(steps: Int) {
    self.steps = steps
    let environment = ProcessInfo.processInfo.environment
    isColoured =
      isTerminal && (environment["NO_COLOR"] ?? "").isEmpty && (environment["TERM"] ?? "dumb") != "dumb"
  }

  /// Begins the next numbered step, after the time that the last one took.
  func step(_ text: String) {
    endStep()
    let number = progress.withLock { progress in
      progress.number += 1
      progress.began = .now
      return progress.number
    }
    say("\(styled("[\(number)/\(steps)]", .bold)) \(text)")
  }

  /// Says how long the step took.
  func endStep() {
    let began = progress.withLock { progress in
      defer { progress.began = nil }
      return progress.began
    }
    guard let began else { return }
    detail(String(format: "%.1f s", (ContinuousClock.now - began) / .seconds(1)))
  }

  func say(_ text: String = "") { Self.write(text + "\n", to: .standardError) }
  func detail(_ text: String) { say(styled("      \(text)", .dim)) }
  func success(_ text: String) { say(styled(text, .green)) }
  func warning(_ text: String) { say("\(styled("warning:", .yellow)) \(text)") }
  func error(_ text: String) { say("\(styled("error:", .red)) \(text)") }
  /// Rewrites the terminal's last line.
  func rewrite(_ text: String) { Self.write("\r\u{1B}[K\(text)", to: .standardError) }

  /// A line of the results.
  func result(_ text: String = "") { Self.write(text + "\n", to: .standardOutput) }
  func heading(_ text: String) { result("\n" + styled(text, .bold)) }

  private func styled(_ text: String, _ style: Style) -> String {
    isColoured ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
  }

  private static func write(_ text: String, to handle: FileHandle) {
    // A reader who has gone away is no reason to leave servers behind.
    try? handle.write(contentsOf: Data(text.utf8))
  }
}
