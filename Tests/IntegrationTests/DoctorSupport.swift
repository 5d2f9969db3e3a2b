import Foundation
import Testing

@testable import TestSupport

/// What `journey doctor --json` found.
struct Diagnosis {
  struct Finding: Decodable, Hashable {
    var subject: String
    var verdict: String
    var code: String
    var text: String
    var advice: String?
  }

  var status: Int32
  var findings: [Finding]

  subscript(code: String) -> Finding? { findings.first { $0.code == code } }

  /// The findings that are not in order.
  var problems: [Finding] { findings.filter { $0.verdict != "ok" } }

  func isInOrder(_ subject: String) -> Bool {
    let about = findings.filter { $0.subject == subject }
    return !about.isEmpty && about.allSatisfy { $0.verdict == "ok" }
  }
}

extension TestEnvironment {
  func diagnose(_ variables: [String: String] = [:], _ arguments: [String] = []) async throws -> Diagnosis {
    let finished = try await run(["doctor", "--json"] + arguments, environment: variables)
    let findings = try JSONDecoder().decode([Diagnosis.Finding].self, from: Data(finished.output.utf8))
    return Diagnosis(status: finished.status, findings: findings)
  }

  /// Runs the command that an advice names.
  func follow(_ finding: Diagnosis.Finding?) async throws {
    let advice = try #require(finding?.advice)
    let command = try #require(advice.firstMatch(of: /run: journey ([^;]+)/), "\(advice)").1
    try await succeed(command.split(separator: " ").map(String.init))
  }

  /// The SQL that an advice names: what follows `administrator: ` or `tables: `.
  func sql(_ finding: Diagnosis.Finding?) throws -> String {
    let advice = try #require(finding?.advice)
    return String(try #require(advice.firstMatch(of: /(?:administrator|tables): (.+)/), "\(advice)").1)
  }
}
