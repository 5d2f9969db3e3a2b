import Foundation
import Synchronization
import Testing

@testable import TestSupport

/// A fault that is injected several times.
struct Scenario: Sendable, CustomTestStringConvertible {
  var name: String
  /// Rounds in `make test`; 0: skipped.
  var short: Int
  /// Rounds in `make faults`; 0: skipped.
  var long: Int
  var body: @Sendable (Row, Int, inout SeededRandom) async throws -> Void

  init(
    _ name: String, short: Int = 0, long: Int = 0,
    _ body: @escaping @Sendable (Row, Int, inout SeededRandom) async throws -> Void
  ) {
    self.name = name
    self.short = short
    self.long = long
    self.body = body
  }

  var testDescription: String { name }

  var rounds: Int {
    if let rounds = FaultSettings.rounds { return rounds }
    return FaultSettings.isLong ? long : short
  }

  /// A random stream of its own, so that a scenario behaves the same alone and among others.
  var random: SeededRandom {
    SeededRandom(stream: name.utf8.reduce(14_695_981_039_346_656_037) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 })
  }
}

/// The settings that `scripts/faults` passes.
enum FaultSettings {
  private static let environment = ProcessInfo.processInfo.environment
  static let isLong = environment["JOURNEY_FAULTS"] == "long"
  /// Only these scenarios.
  static let only = environment["JOURNEY_FAULTS_ONLY"].flatMap { $0.isEmpty ? nil : $0 }.map {
    Set($0.split(separator: ",").map(String.init))
  }
  static let rounds = environment["JOURNEY_FAULTS_ROUNDS"].flatMap(Int.init)
  /// `2/3`: every third scenario, from the second one on. Each part runs in a process of its own, beside the others.
  static let part: (number: Int, of: Int) = {
    let numbers = (environment["JOURNEY_FAULTS_PART"] ?? "1/1").split(separator: "/").compactMap { Int($0) }
    precondition(numbers.count == 2 && numbers[1] > 0 && 1...numbers[1] ~= numbers[0], "JOURNEY_FAULTS_PART is N/COUNT")
    return (numbers[0], numbers[1])
  }()
  /// The file for the rows of the table.
  static let report = environment["JOURNEY_FAULTS_REPORT"]
}

/// A row of the table: the counts of a scenario.
final class Row: Sendable {
  private struct Counts {
    var sent = 0
    var stored = 0
    var deadLetters = 0
    var actions = 0
    var copies = 0
    var lost = 0
  }

  private let counts = Mutex(Counts())

  func add(_ found: Invariants.FailureInfo, sent: Int, deadLetters: Int, lostDeadLetters: Int) {
    add(
      sent: sent, stored: found.stored, deadLetters: deadLetters, actions: found.actions, copies: found.copies,
      lost: found.lost + lostDeadLetters)
  }

  func add(sent: Int = 0, stored: Int = 0, deadLetters: Int = 0, actions: Int = 0, copies: Int = 0, lost: Int = 0) {
    counts.withLock {
      $0.sent += sent
      $0.stored += stored
      $0.deadLetters += deadLetters
      $0.actions += actions
      $0.copies += copies
      $0.lost += lost
    }
  }

  var lost: Int { counts.withLock(\.lost) }

  /// Tab-separated, for `scripts/faults`.
  func text(_ name: String, rounds: Int, seconds: Double, failure: (any Error)?) -> String {
    let counts = counts.withLock(\.self)
    let lost = failure == nil ? "\(counts.lost)" : "failed"
    let fields = [
      name, "\(rounds)", "\(counts.sent)", "\(counts.stored)", "\(counts.deadLetters)", "\(counts.actions)",
      "\(counts.copies)", lost,
      String(format: "%.0f", seconds),
    ]
    return fields.joined(separator: "\t")
  }
}
