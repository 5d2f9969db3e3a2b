import Dispatch
import Foundation
import Glibc

/// Runs a program without blocking a thread of the cooperative pool.
enum Command {
  /// Runs `arguments[0]`, found on the `PATH` unless it is a path, with the rest as its arguments.
  ///
  /// - Returns: the standard output, without the last line break.
  /// - Throws: `TestServersError` if the program cannot be started or its exit status is not 0.
  @concurrent
  static func run(_ arguments: [String], operation: String) async throws -> String {
    try await withCheckedThrowingContinuation { continuation in
      DispatchQueue.global().async {
        continuation.resume(with: Result { try runBlocking(arguments, operation: operation) })
      }
    }
  }

  static func runBlocking(_ arguments: [String], operation: String) throws(TestServersError) -> String {
    let process = Process()
    let output = Pipe()
    let errors = Pipe()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = errors
    do {
      try withNoSignalBlocked { try process.run() }
    } catch {
      throw TestServersError(operation: operation, status: -1, output: "\(error)")
    }
    // Reads both pipes at the same time: a program blocks forever if it fills a pipe that is not read.
    let errorText = Box()
    let reader = DispatchQueue(label: "TestServers.Command.errors")
    reader.async { errorText.data = errors.fileHandleForReading.readDataToEndOfFile() }
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    reader.sync {}
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      let said = String(decoding: errorText.data, as: UTF8.self)
      throw TestServersError(operation: operation, status: process.terminationStatus, output: said)
    }
    return text.hasSuffix("\n") ? String(text.dropLast()) : text
  }

  /// Written on one queue, and read after waiting for that queue.
  private final class Box: @unchecked Sendable {
    var data = Data()
  }
}
