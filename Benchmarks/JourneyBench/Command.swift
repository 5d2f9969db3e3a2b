import Foundation
import Glibc

/// A failure of the benchmark itself, as text for the user.
struct BenchmarkError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// Runs a command and waits for its end.
/// - Returns: its standard output.
@discardableResult
func execute(_ arguments: [String], environment: [String: String] = [:]) throws -> String {
  let process = try launch(arguments, environment: environment, output: Pipe())
  guard let pipe = process.standardOutput as? Pipe else { return "" }
  let output = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  guard process.terminationStatus == 0 else {
    throw BenchmarkError(
      "\(arguments.prefix(3).joined(separator: " ")) ended with exit code \(process.terminationStatus)")
  }
  return String(decoding: output, as: UTF8.self)
}

/// Starts a command. Its standard error is shown.
func launch(_ arguments: [String], environment: [String: String], output: Pipe?) throws -> Process {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: arguments[0])
  process.arguments = Array(arguments.dropFirst())
  process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
  process.standardOutput = output ?? FileHandle.nullDevice
  // Dispatch threads block all signals, and a child process inherits that. It would never receive a signal to stop.
  var none = sigset_t(), before = sigset_t()
  sigemptyset(&none)
  pthread_sigmask(SIG_SETMASK, &none, &before)
  defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
  try process.run()
  return process
}

/// Prints a part of the result without delay.
func show(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }

/// Prints progress to standard error; standard output is for the result.
func say(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
