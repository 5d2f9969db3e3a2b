import Foundation
import Testing

/// Where things lie: the repository and the program under test.
enum Repository {
  static let root: String = {
    // A package may reach its tests through a symbolic link.
    var directory = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
    for _ in 0..<3 { directory.deleteLastPathComponent() }
    return directory.path
  }()

  /// `JOURNEY_BINARY`, or the program that was built together with these tests.
  static let binary: String =
    ProcessInfo.processInfo.environment["JOURNEY_BINARY"]
    ?? URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    .appendingPathComponent("journey").path
}

/// The two sets of rules that ship.
enum Profile: String, CaseIterable, CustomTestStringConvertible {
  case literal
  case defaultProfile

  var configuration: String { Repository.root + (self == .literal ? "/config/profiles/literal" : "/config") }
  var testDescription: String { rawValue }
}

/// A directory of the test's own, deleted at the end of `body`.
func withTemporaryDirectory<Value>(_ body: (String) async throws -> Value) async throws -> Value {
  let path = NSTemporaryDirectory() + "journey-tests-\(UUID().uuidString)"
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: path) }
  return try await body(path)
}

struct Timeout: Error, CustomStringConvertible {
  var description: String
}

/// Waits for a condition by asking again: what is waited for here lies in other processes, which send no event.
/// - Throws: `Timeout`, which says what did not come and what `state` said last.
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
