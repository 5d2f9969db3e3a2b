import Subprocess
import SystemPackage

/// A program that runs to its end. It ends with this process: in order when the task is cancelled, and also when this
/// process is killed.
struct Program {
  let executable: String
  var environment = Environment.inherit
  /// What asks it, and all that it started, to end.
  var endingSignal = Signal.interrupt

  /// - Returns: how it ended.
  func end<Output: OutputProtocol>(_ arguments: [String], output: Output) async throws -> TerminationStatus {
    try await Subprocess.run(configuration(arguments), output: output, error: .currentStandardError).terminationStatus
  }

  /// Runs it with its output where ours goes.
  /// - Throws: `DemoFailure` where it does not exit with 0.
  func run<Output: OutputProtocol>(_ arguments: [String], output: Output) async throws {
    try check(try await end(arguments, output: output), arguments)
  }

  /// - Returns: what it wrote to standard output, without the last line break.
  /// - Throws: `DemoFailure` where it does not exit with 0.
  func output(_ arguments: [String], input: String = "") async throws -> String {
    let result = try await Subprocess.run(
      configuration(arguments), input: .string(input), output: .string(limit: 1 << 20), error: .currentStandardError)
    try check(result.terminationStatus, arguments)
    return result.standardOutput.hasSuffix("\n") ? String(result.standardOutput.dropLast()) : result.standardOutput
  }

  /// Runs it around `body` and then stops it with SIGTERM.
  ///
  /// - Parameters:
  ///   - name: for errors.
  ///   - body: gets the process's id.
  /// - Throws: what `body` throws, or `DemoFailure` where the program does not end with 0.
  func running<Value: Sendable>(
    _ arguments: [String], as name: String, logFile: String, _ body: (Int32) async throws -> Value
  ) async throws -> Value {
    var program = self
    program.endingSignal = .terminate
    let log = try FileDescriptor.open(
      FilePath(logFile), .writeOnly, options: [.create, .truncate, .closeOnExec],
      permissions: [.ownerReadWrite, .groupRead, .otherRead])
    let result = try await Subprocess.run(
      program.configuration(arguments), input: .none,
      output: .fileDescriptor(log, closeAfterSpawningProcess: true), error: .combinedWithOutput
    ) { execution in
      let value = try await body(execution.processIdentifier.value)
      await execution.teardown(using: [.gracefulShutDown(allowedDurationToNextStep: .seconds(60))])
      return value
    }
    try Task.checkCancellation()
    guard result.terminationStatus.isSuccess else {
      throw DemoFailure("\(name) did not stop in order (\(result.terminationStatus))")
    }
    return result.closureResult
  }

  /// A process group of its own, so that Ctrl-C reaches it once: from us.
  func configuration(_ arguments: [String]) -> Configuration {
    var options = PlatformOptions()
    options.processGroupID = 0
    options.teardownSequence = [
      .send(signal: endingSignal, toProcessGroup: true, allowedDurationToNextStep: .seconds(60))
    ]
    // The signal at our death is the kernel's: the thread that starts processes lives as long as this process.
    let death = "--pdeathsig=\(endingSignal == .terminate ? "TERM" : "INT")"
    return Configuration(
      executable: .name("setpriv"), arguments: Arguments([death, "--", executable] + arguments),
      environment: environment, platformOptions: options)
  }

  private func check(_ status: TerminationStatus, _ arguments: [String]) throws {
    try Task.checkCancellation()
    guard !status.isSuccess else { return }
    let name = FilePath(executable).lastComponent?.string ?? executable
    throw DemoFailure("\(name) \(arguments.first ?? "") failed (\(status))")
  }
}
