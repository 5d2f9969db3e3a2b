import TestServers
import Testing

@testable import TestSupport

/// Random events through the real broker, program and database end as a plain computation says.
@Suite struct OracleTests {
  @Test(arguments: Profile.allCases)
  func anyOrderBatchingAndNumberOfInstances(_ profile: Profile) async throws {
    var random = SeededRandom(stream: profile == .literal ? 1 : 2)
    let world = World(events: 3000, &random)
    let alone = try await runs(
      world, profile, instances: 1, lanes: 1, batch: Int.random(in: 1...500, using: &random), &random)
    let together = try await runs(
      world, profile, instances: 2, lanes: 4, batch: Int.random(in: 20...300, using: &random), &random)
    #expect(alone == together, "JOURNEY_TEST_SEED=\(SeededRandom.seed)")
  }

  private func runs(
    _ world: World, _ profile: Profile, instances: Int, lanes: Int, batch: Int, _ random: inout SeededRandom
  ) async throws -> [[String]] {
    let messages = world.messages(&random)
    var publishing = random
    defer { random = publishing }
    return try await Stage.with { stage in
      try await world.seed(stage)
      // Half of it waits in the queue, half comes while the programs work.
      try await stage.publish(Array(messages[..<(messages.count / 2)]), &publishing)
      var programs: [ChildProcess] = []
      for _ in 0..<instances {
        let settings = [
          "PIPELINE_LANES": "\(lanes)", "PIPELINE_BATCH_SIZE": "\(batch)", "INGEST_PREFETCH": "\(batch * 3)",
        ]
        programs.append(try await stage.serve(profile, settings))
      }
      try await stage.publish(Array(messages[(messages.count / 2)...]), chunks: 1...150, &publishing)
      try await stage.settles(events: world.events.count, programs.first)
      for program in programs { try await stage.stop(program) }
      let oracle = Oracle(stage, world, profile)
      try await oracle.check()
      return try await oracle.fingerprint()
    }
  }
}
