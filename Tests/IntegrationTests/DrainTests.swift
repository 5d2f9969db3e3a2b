import AMQPClient
import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// A stop under load: consumed events are finished, the rest stays in the queue.
@Suite struct DrainTests {
  @Test(arguments: [SIGTERM, SIGINT])
  func stopsUnderLoadWithNothingHalfDone(_ signal: Int32) async throws {
    var random = SeededRandom(stream: 7)
    let workload = Workload(events: 2000, &random)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      try await environment.publish(workload.messages(duplicates: 0, &random), &random)
      let program = try await environment.serve(
        .literal, ["PIPELINE_WORKERS": "2", "PIPELINE_BATCH_SIZE": "50", "INGEST_PREFETCH": "300"])
      try await eventually("some stored events") {
        try await environment.number("SELECT count(*) FROM client_journey_events") > 150
      }
      try await environment.stop(program, by: signal, within: .seconds(20))
      let stored = try await environment.number("SELECT count(*) FROM client_journey_events")
      let waiting = try await environment.admin.messageCount(queue: "journey.ingest")
      #expect(waiting > 0, "the stop came too late to show anything")
      #expect(
        stored + waiting == workload.events.count, "each event is either stored and acknowledged, or back in the queue")
      #expect(try await environment.number("SELECT count(*) FROM journey_actions WHERE published_at IS NULL") == 0)
      let next = try await environment.serve(.literal)
      try await environment.settles(events: workload.events.count, next)
      try await environment.stop(next)
      try await Invariants(environment, workload, .literal).check()
    }
  }
}
