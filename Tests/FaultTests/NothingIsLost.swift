import Foundation
import Testing

@testable import TestSupport

/// Injects faults under a load whose result is known. Every event is stored once or is a dead letter, every due action
/// is in its queue, and the clients match the reference.
///
/// `make test` runs few rounds, `make faults` many.
@Suite(.serialized) struct NothingIsLost {
  static let scenarios: [Scenario] =
    Scenario.kills + Scenario.networks + Scenario.brokers + Scenario.databases + Scenario.inputs + Scenario.deadLetters
    + Scenario.hosts + Scenario.permissions + Scenario.poolers + Scenario.silences + Scenario.outcomes
    + Scenario.holds + Scenario.contracts + Scenario.fuzzing

  private static var chosen: [Scenario] {
    let wanted = scenarios.filter { FaultSettings.only?.contains($0.name) ?? ($0.rounds > 0) }
    let part = FaultSettings.part
    return stride(from: part.number - 1, to: wanted.count, by: part.of).map { wanted[$0] }
  }

  @Test(arguments: chosen)
  func nothingIsLost(_ scenario: Scenario) async throws {
    let row = Row()
    var random = scenario.random
    let rounds = max(1, scenario.rounds)
    let start = ContinuousClock.now
    let result: Result<Void, any Error>
    do {
      result = .success(try await scenario.body(row, rounds, &random))
    } catch {
      result = .failure(error)
    }
    let text = row.text(
      scenario.name, rounds: rounds, seconds: start.duration(to: .now) / .seconds(1), failure: result.failure)
    try Self.report(text)
    #expect(row.lost == 0, "\(scenario.name), JOURNEY_TEST_SEED=\(SeededRandom.seed)")
    if let error = result.failure { Issue.record("\(scenario.name): \(error)") }
  }

  private static func report(_ line: String) throws {
    guard let path = FaultSettings.report else { return }
    let handle = try #require(FileHandle(forWritingAtPath: path), "\(path) has to exist")
    defer { try? handle.close() }
    try handle.seekToEnd()
    try handle.write(contentsOf: Data((line + "\n").utf8))
  }
}

extension Result {
  fileprivate var failure: Failure? { if case .failure(let error) = self { error } else { nil } }
}
