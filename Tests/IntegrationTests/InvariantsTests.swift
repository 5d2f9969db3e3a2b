import TestServers
import Testing

@testable import TestSupport

/// Random events through the real broker, program and database end in the states that the reference computes.
@Suite struct InvariantsTests {
  @Test(arguments: Profile.allCases)
  func anyOrderBatchingAndNumberOfInstances(_ profile: Profile) async throws {
    var random = SeededRandom(stream: profile == .literal ? 1 : 2)
    let workload = Workload(events: 3000, &random)
    let alone = try await runs(
      workload, profile, instances: 1, workers: 1, batch: Int.random(in: 1...500, using: &random), &random)
    let together = try await runs(
      workload, profile, instances: 2, workers: 4, batch: Int.random(in: 20...300, using: &random), &random)
    #expect(alone == together, "JOURNEY_TEST_SEED=\(SeededRandom.seed)")
  }

  private func runs(
    _ workload: Workload, _ profile: Profile, instances: Int, workers: Int, batch: Int, _ random: inout SeededRandom
  ) async throws -> [[String]] {
    let messages = workload.messages(&random)
    var publishing = random
    defer { random = publishing }
    return try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      // Half of the events are in the queue before the programs start, half arrive while they run.
      try await environment.publish(Array(messages[..<(messages.count / 2)]), &publishing)
      var programs: [ChildProcess] = []
      for _ in 0..<instances {
        let settings = [
          "PIPELINE_WORKERS": "\(workers)", "PIPELINE_BATCH_SIZE": "\(batch)", "INGEST_PREFETCH": "\(batch * 3)",
        ]
        programs.append(try await environment.serve(profile, settings))
      }
      try await environment.publish(Array(messages[(messages.count / 2)...]), chunks: 1...150, &publishing)
      try await environment.settles(events: workload.events.count, programs.first)
      for program in programs { try await environment.stop(program) }
      let invariants = Invariants(environment, workload, profile)
      try await invariants.check()
      return try await invariants.fingerprint()
    }
  }
}
