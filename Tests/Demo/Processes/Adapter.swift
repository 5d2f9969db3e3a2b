import Foundation
import Glibc
import Subprocess
import SystemPackage

/// `journey serve`, while it runs.
struct Adapter: Sendable {
  let processID: Int32
  let logFile: String

  /// Runs `journey serve` around `body` and stops it as an operator would.
  /// - Throws: what `body` throws, or `DemoFailure` where the adapter does not end with 0.
  static func running<Value: Sendable>(
    _ program: Program, _ arguments: [String], logFile: String, _ body: (Adapter) async throws -> Value
  ) async throws -> Value {
    var program = program
    program.endingSignal = .terminate
    let log = try FileDescriptor.open(
      FilePath(logFile), .writeOnly, options: [.create, .truncate, .closeOnExec],
      permissions: [.ownerReadWrite, .groupRead, .otherRead])
    let result = try await Subprocess.run(
      program.configuration(arguments), input: .none,
      output: .fileDescriptor(log, closeAfterSpawningProcess: true), error: .combinedWithOutput
    ) { execution in
      let adapter = Adapter(processID: execution.processIdentifier.value, logFile: logFile)
      let value = try await body(adapter)
      await execution.teardown(using: [.gracefulShutDown(allowedDurationToNextStep: .seconds(60))])
      return value
    }
    try Task.checkCancellation()
    guard result.terminationStatus.isSuccess else {
      throw DemoFailure("the adapter did not stop in order (\(result.terminationStatus))")
    }
    return result.closureResult
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
