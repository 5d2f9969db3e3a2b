import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// What a program that vanishes in mid-stream leaves behind: nothing lost, nothing twice.
@Suite struct KillTests {
  private static let kills = 6

  @Test func killedInMidStreamAgainAndAgain() async throws {
    var random = SeededRandom(stream: 3)
    let world = World(events: 2400, &random)
    try await Stage.with { stage in
      try await world.seed(stage)
      try await stage.publish(world.messages(&random), &random)
      var stored = 0
      for kill in 1...Self.kills {
        let program = try await stage.serve(
          .literal, ["PIPELINE_LANES": "2", "PIPELINE_BATCH_SIZE": "40", "INGEST_PREFETCH": "200"])
        let target = stored + Int.random(in: 1...250, using: &random)
        try await eventually("\(target) stored events", state: { program.standardError }) {
          stored = try await stage.number("SELECT count(*) FROM client_journey_events")
          return stored >= target
        }
        program.send(SIGKILL)
        #expect(await program.ended(within: .seconds(10)) == .signalled(SIGKILL))
        stored = try await stage.number("SELECT count(*) FROM client_journey_events")
        try #require(
          stored < world.events.count,
          "kill \(kill) came too late to show anything; JOURNEY_TEST_SEED=\(SeededRandom.seed)")
      }
      let abandoned = try await stage.number("SELECT count(*) FROM journey_actions WHERE published_at IS NULL")
      let last = try await stage.serve(.literal)
      try await stage.settles(events: world.events.count, last)
      try await stage.stop(last)
      try await Oracle(stage, world, .literal).check()
      #expect(
        abandoned > 0, "no kill left an action unpublished, nothing was shown; JOURNEY_TEST_SEED=\(SeededRandom.seed)")
    }
  }

  /// The server ends the adapter's sessions wherever they are, also between COMMIT and its answer.
  @Test func sessionsEndedWhileTheyCommit() async throws {
    var random = SeededRandom(stream: 4)
    let world = World(events: 2000, &random)
    try await Stage.with { stage in
      try await world.seed(stage)
      try await stage.publish(world.messages(&random), &random)
      let program = try await stage.serve(
        .literal, ["PIPELINE_LANES": "2", "PIPELINE_BATCH_SIZE": "40", "INGEST_PREFETCH": "200"])
      var ended = 0
      var stored = 0
      while stored < world.events.count * 3 / 4 {
        // Whoever is inside a transaction now; the answer says how many were hit.
        ended += try await stage.number(
          """
          SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'journey' AND state <> 'idle'
          """)
        let target = stored + Int.random(in: 20...200, using: &random)
        try await eventually("\(target) stored events", state: { program.standardError }) {
          stored = try await stage.number("SELECT count(*) FROM client_journey_events")
          return stored >= min(target, world.events.count)
        }
      }
      #expect(ended >= 3, "hardly a session was hit in a transaction; JOURNEY_TEST_SEED=\(SeededRandom.seed)")
      try await stage.settles(events: world.events.count, program)
      try await stage.stop(program)
      try await Oracle(stage, world, .literal).check()
    }
  }
}
