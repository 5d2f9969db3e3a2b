import AMQPClient
import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// A stop under load: what was taken is finished, the rest stays in the queue.
@Suite struct DrainTests {
  @Test(arguments: [SIGTERM, SIGINT])
  func stopsUnderLoadWithNothingHalfDone(_ signal: Int32) async throws {
    var random = SeededRandom(stream: 7)
    let world = World(events: 2000, &random)
    try await Stage.with { stage in
      try await world.seed(stage)
      try await stage.publish(world.messages(duplicates: 0, &random), &random)
      let program = try await stage.serve(
        .literal, ["PIPELINE_LANES": "2", "PIPELINE_BATCH_SIZE": "50", "INGEST_PREFETCH": "300"])
      try await eventually("some stored events") {
        try await stage.number("SELECT count(*) FROM client_journey_events") > 150
      }
      try await stage.stop(program, by: signal, within: .seconds(20))
      let stored = try await stage.number("SELECT count(*) FROM client_journey_events")
      let waiting = try await stage.admin.messageCount(queue: "journey.ingest")
      #expect(waiting > 0, "the stop came too late to show anything")
      #expect(
        stored + waiting == world.events.count, "each event is either stored and acknowledged, or back in the queue")
      #expect(try await stage.number("SELECT count(*) FROM journey_actions WHERE published_at IS NULL") == 0)
      let next = try await stage.serve(.literal)
      try await stage.settles(events: world.events.count, next)
      try await stage.stop(next)
      try await Oracle(stage, world, .literal).check()
    }
  }
}
