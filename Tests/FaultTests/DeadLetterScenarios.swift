import AMQPClient
import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// An operator works on thousands of dead letters, and the operator's commands are interrupted.
extension Scenario {
  static var deadLetters: [Scenario] {
    [Scenario("dlq-replay-killed-and-resumed", short: 1, long: 2, replayedInPieces)]
  }

  /// Dead letters of eight reasons. Some are discarded, two are edited, the rest is replayed at 500 per second by a
  /// command that is killed several times. In the end every one was published, valid events are applied once, the
  /// others are open again, and the log records all of it.
  private static func replayedInPieces(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    for _ in 0..<rounds {
      let operation = DeadLetterOperation(each: FaultSettings.isLong ? 1250 : 100, &random)
      let kills = FaultSettings.isLong ? 8 : 2
      var draws = random
      defer { random = draws }
      try await TestEnvironment.with { environment in
        let program = try await operation.makeDeadLetters(environment)
        let tap = try await operation.tap(environment)
        try await operation.discard(environment)
        let edited = try await operation.edit(environment)
        try await operation.heal(environment)
        try await operation.replay(environment, kills: kills, &draws)
        try await operation.settles(environment, program)
        try await environment.stop(program)
        try await operation.check(environment, edited, published: try await environment.drain(tap), kills: kills, row)
      }
    }
  }
}
