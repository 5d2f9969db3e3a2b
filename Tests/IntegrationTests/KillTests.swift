import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// After a crash in the middle of processing, nothing is lost and nothing is stored twice.
@Suite struct KillTests {
  private static let kills = 6

  @Test func killedInMidStreamAgainAndAgain() async throws {
    var random = SeededRandom(stream: 3)
    let workload = Workload(events: 2400, &random)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      try await environment.publish(workload.messages(&random), &random)
      var stored = 0
      for kill in 1...Self.kills {
        let program = try await environment.serve(
          .literal, ["PIPELINE_WORKERS": "2", "PIPELINE_BATCH_SIZE": "40", "INGEST_PREFETCH": "200"])
        let target = stored + Int.random(in: 1...250, using: &random)
        try await eventually("\(target) stored events", state: { program.standardError }) {
          stored = try await environment.number("SELECT count(*) FROM client_journey_events")
          return stored >= target
        }
        program.send(SIGKILL)
        #expect(await program.ended(within: .seconds(10)) == .signalled(SIGKILL))
        stored = try await environment.number("SELECT count(*) FROM client_journey_events")
        try #require(
          stored < workload.events.count,
          "kill \(kill) came too late to show anything; JOURNEY_TEST_SEED=\(SeededRandom.seed)")
      }
      let abandoned = try await environment.number("SELECT count(*) FROM journey_actions WHERE published_at IS NULL")
      let last = try await environment.serve(.literal)
      try await environment.settles(events: workload.events.count, last)
      try await environment.stop(last)
      try await Invariants(environment, workload, .literal).check()
      #expect(
        abandoned > 0, "no kill left an action unpublished, nothing was shown; JOURNEY_TEST_SEED=\(SeededRandom.seed)")
    }
  }

  /// The server terminates the adapter's sessions at any point, also between COMMIT and its answer.
  @Test func sessionsEndedWhileTheyCommit() async throws {
    var random = SeededRandom(stream: 4)
    let workload = Workload(events: 2000, &random)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      try await environment.publish(workload.messages(&random), &random)
      let program = try await environment.serve(
        .literal, ["PIPELINE_WORKERS": "2", "PIPELINE_BATCH_SIZE": "40", "INGEST_PREFETCH": "200"])
      var ended = 0
      var stored = 0
      while stored < workload.events.count * 3 / 4 {
        // Sessions that are in a transaction now; the result is how many were terminated.
        ended += try await environment.number(
          """
          SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'journey' AND state <> 'idle'
          """)
        let target = stored + Int.random(in: 20...200, using: &random)
        try await eventually("\(target) stored events", state: { program.standardError }) {
          stored = try await environment.number("SELECT count(*) FROM client_journey_events")
          return stored >= min(target, workload.events.count)
        }
      }
      #expect(ended >= 3, "hardly a session was hit in a transaction; JOURNEY_TEST_SEED=\(SeededRandom.seed)")
      try await environment.settles(events: workload.events.count, program)
      try await environment.stop(program)
      try await Invariants(environment, workload, .literal).check()
    }
  }
}
