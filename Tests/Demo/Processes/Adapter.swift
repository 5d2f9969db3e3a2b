import Foundation
import Glibc

/// `journey serve`, while it runs.
struct Adapter: Sendable {
  let processID: Int32
  let logFile: String

  /// Runs `journey serve` around `body` and stops it as an operator would.
  /// - Throws: what `body` throws, or `DemoFailure` where the adapter does not end with 0.
  static func running<Value: Sendable>(
    _ program: Program, _ arguments: [String], logFile: String, _ body: (Adapter) async throws -> Value
  ) async throws -> Value {
    try await program.running(arguments, as: "the adapter", logFile: logFile) {
      try await body(Adapter(processID: $0, logFile: logFile))
    }
  }

  /// Whether the process has ended. It is asked without being reaped.
  var hasEnded: Bool {
    var info = siginfo_t()
    return waitid(P_PID, id_t(processID), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info._sifields._kill.si_pid != 0
  }

  /// The address of the API, from the log; nil where it is not served.
  var address: String? {
    log.matches(of: /address=(http[^ \n]+)/).last.map { String($0.1) }
  }

  /// The counts that the adapter logs when it has stopped, e.g. `stored=284`.
  var finalCounts: [Substring] {
    let line = log.split(separator: "\n").last { $0.contains(" stopped") } ?? ""
    return line.split(separator: " ").filter { $0.contains("=") }
  }

  func lastLines(_ count: Int) -> [Substring] { log.split(separator: "\n").suffix(count) }

  private var log: String { (try? String(contentsOfFile: logFile, encoding: .utf8)) ?? "" }
}
