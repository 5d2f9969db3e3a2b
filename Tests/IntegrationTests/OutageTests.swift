import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// Servers that stop, restart or freeze. On servers of its own.
@Suite(.serialized) struct OutageTests {
  @Test func serversGoAndComeBack() async throws {
    var random = SeededRandom(stream: 8)
    let workload = Workload(events: 1500, &random)
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await workload.seed(environment)
      let messages = workload.messages(&random)
      let third = messages.count / 3
      try await environment.publish(Array(messages[..<third]), &random)
      let program = try await environment.serve(
        .defaultProfile, ["PIPELINE_BATCH_SIZE": "20", "INGEST_PREFETCH": "100"])
      try await eventually("some stored events") {
        try await environment.number("SELECT count(*) FROM client_journey_events") > 50
      }

      try await servers.stop(.postgres, immediately: true)
      try await environment.publish(Array(messages[third..<(2 * third)]), &random)
      try await eventually("a failed commit", state: { program.standardError }) {
        program.standardError.contains("the database does not take a batch, trying again")
      }
      #expect(program.ending == nil)
      try await servers.start(.postgres)
      try await eventually("work after the database is back", state: { program.standardError }) {
        program.standardError.contains("the database takes batches again")
      }

      try await servers.kill(.rabbitmq)
      try await eventually("a lost broker", state: { program.standardError }) {
        program.standardError.contains("the ingest queue is lost")
      }
      #expect(program.ending == nil)
      try await servers.start(.rabbitmq)
      try await environment.publish(Array(messages[(2 * third)...]), &random)
      try await environment.settles(events: workload.events.count, program)
      try await environment.stop(program)
      try await Invariants(environment, workload, .defaultProfile).check()
    }
    try await servers.stop()
  }

  /// The database does not answer. A stop does not exceed its time limit, and nothing is lost.
  @Test func stopsWhileTheDatabaseStandsStill() async throws {
    var random = SeededRandom(stream: 9)
    let workload = Workload(events: 600, &random)
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await workload.seed(environment)
      let messages = workload.messages(&random)
      let program = try await environment.serve(
        .literal, ["PIPELINE_BATCH_SIZE": "20", "INGEST_PREFETCH": "100", "PIPELINE_DRAIN_SECONDS": "3"])
      try await environment.publish(messages, &random)
      try await eventually("some stored events") {
        try await environment.number("SELECT count(*) FROM client_journey_events") > 50
      }
      try await servers.pause(.postgres)
      let asked = ContinuousClock.now
      program.send(SIGTERM)
      let ending = await program.ended(within: .seconds(15))
      let took = asked.duration(to: .now)
      try await servers.resume(.postgres)
      #expect(ending == .exited(1), "what is cut off has to show in the status: \(program.standardError)")
      #expect(took < .seconds(12), "pipeline.drainSeconds is 3, it took \(took)")
      #expect(program.standardError.contains("drainSeconds"))
      let next = try await environment.serve(.literal)
      try await environment.settles(events: workload.events.count, next)
      try await environment.stop(next)
      try await Invariants(environment, workload, .literal).check()
    }
    try await servers.stop()
  }

  /// The database is down at the time of the stop.
  @Test func stopsWhileTheDatabaseIsAway() async throws {
    var random = SeededRandom(stream: 10)
    let workload = Workload(events: 600, &random)
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await workload.seed(environment)
      let program = try await environment.serve(
        .literal, ["PIPELINE_BATCH_SIZE": "20", "INGEST_PREFETCH": "100", "PIPELINE_DRAIN_SECONDS": "8"])
      try await environment.publish(workload.messages(&random), &random)
      try await eventually("some stored events") {
        try await environment.number("SELECT count(*) FROM client_journey_events") > 50
      }
      try await servers.stop(.postgres, immediately: true)
      try await eventually("a failed commit", state: { program.standardError }) {
        program.standardError.contains("the database does not take a batch, trying again")
      }
      program.send(SIGTERM)
      #expect(await program.ended(within: .seconds(11)) != nil, "\(program.standardError)")
      try await servers.start(.postgres)
      let next = try await environment.serve(.literal)
      try await environment.settles(events: workload.events.count, next)
      try await environment.stop(next)
      try await Invariants(environment, workload, .literal).check()
    }
    try await servers.stop()
  }

  /// Commits succeed, but their answers are lost: after committing, the server waits for a standby that does not exist,
  /// and the session is terminated there.
  @Test func answersToCommitsAreLost() async throws {
    var random = SeededRandom(stream: 13)
    let workload = Workload(events: 600, &random)
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await workload.seed(environment)
      let database = try await environment.rows("SELECT current_database()")[0][0]
      try await environment.execute("ALTER DATABASE \(database) SET synchronous_commit = on")
      let program = try await environment.serve(
        .literal, ["PIPELINE_WORKERS": "2", "PIPELINE_BATCH_SIZE": "30", "INGEST_PREFETCH": "100"])
      let messages = workload.messages(&random)
      let rounds = 5
      for round in 0..<rounds {
        try await environment.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        try await environment.execute("SELECT pg_reload_conf()")
        try await environment.publish(
          Array(messages[(round * messages.count / rounds)..<((round + 1) * messages.count / rounds)]))
        let waiting =
          "FROM pg_stat_activity WHERE application_name = 'journey' AND wait_event = 'SyncRep' AND query ILIKE '%COMMIT%'"
        try await eventually("a commit that waits", state: { program.standardError }) {
          try await environment.number("SELECT count(*) \(waiting)") > 0
        }
        #expect(try await environment.number("SELECT count(pg_terminate_backend(pid)) \(waiting)") > 0)
        try await environment.execute("ALTER SYSTEM RESET synchronous_standby_names")
        try await environment.execute("SELECT pg_reload_conf()")
      }
      try await environment.settles(events: workload.events.count, program)
      try await environment.stop(program)
      try await Invariants(environment, workload, .literal).check()
    }
    try await servers.stop()
  }
}
