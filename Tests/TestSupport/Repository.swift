import Foundation
import Testing

/// Paths of the repository and of the program under test.
enum Repository {
  static let root: String = {
    // The path may contain a symbolic link.
    var directory = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
    for _ in 0..<3 { directory.deleteLastPathComponent() }
    return directory.path
  }()

  /// `JOURNEY_BINARY`, or the program built together with these tests.
  static let binary: String =
    ProcessInfo.processInfo.environment["JOURNEY_BINARY"]
    ?? URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    .appendingPathComponent("journey").path
}

/// The two profiles that the repository contains.
enum Profile: String, CaseIterable, CustomTestStringConvertible {
  case literal
  case defaultProfile

  var configuration: String { Repository.root + (self == .literal ? "/config/profiles/literal" : "/config") }
  var testDescription: String { rawValue }
}

/// A directory for one test, deleted at the end of `body`.
func withTemporaryDirectory<Value>(_ body: (String) async throws -> Value) async throws -> Value {
  let path = NSTemporaryDirectory() + "journey-tests-\(UUID().uuidString)"
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: path) }
  return try await body(path)
}

struct Timeout: Error, CustomStringConvertible {
  var description: String
}

/// Polls until a condition holds: the state is in other processes, which send no notification.
/// - Throws: `Timeout` with the last value of `state`.
func eventually(
  _ what: String, within limit: Duration = .seconds(60), state: () async throws -> String = { "" },
  _ condition: () async throws -> Bool
) async throws {
  let end = ContinuousClock.now + limit
  while true {
    if try await condition() { return }
    guard ContinuousClock.now < end else {
      throw Timeout(description: "\(what) did not come within \(limit). \(try await state())")
    }
    try await Task.sleep(for: .milliseconds(20))
  }
}
