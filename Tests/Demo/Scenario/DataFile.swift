import Foundation
import TestServers

/// A text file of `Tests/Demo/Data`.
struct DataFile {
  static let directory = TestServers.packageRoot + "/Tests/Demo/Data"

  let name: String
  let text: String

  init(_ name: String) throws {
    self.name = name
    do {
      text = try String(contentsOfFile: "\(Self.directory)/\(name)", encoding: .utf8)
    } catch {
      throw DemoFailure("Tests/Demo/Data/\(name) cannot be read: \(error)")
    }
  }

  /// The lines without comments and blank ones.
  var lines: [Substring] {
    text.split(separator: "\n").filter { !$0.hasPrefix("#") && !$0.allSatisfy(\.isWhitespace) }
  }

  /// The lines of a table, split at tabs.
  func rows(columns: Int) throws -> [[String]] {
    try lines.map { line in
      let row = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
      guard row.count == columns else { throw DemoFailure("\(name): this line has not \(columns) columns: \(line)") }
      return row
    }
  }
}
