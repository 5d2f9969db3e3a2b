import TestSupport
import FoundationEssentials
import Journey
import IngestPipeline
import Logging
import ServiceLifecycle
import ServiceLifecycleTestKit

extension InboundMessage {
  /// A message with an event for each id, all of one client.
  static func test(_ tag: Int, ids: [String]? = nil, client: String = "c", rejections: [Rejection] = [])
    -> InboundMessage
  {
    InboundMessage(
      token: .test(tag), events: (ids ?? ["e\(tag)"]).map { .test($0, client: client) }, rejections: rejections)
  }
}

extension IncomingEvent {
  private static let org = UUID()

  static func test(_ id: String, client: String) -> IncomingEvent {
    IncomingEvent(
      id: UUID(),
      event: JourneyEvent(
        orgID: org, source: "test", sourceEventID: id, client: ClientReference(externalID: client), type: "call",
        stage: nil,
        occurredAt: Timestamp(seconds: 0), metadata: []),
      signals: Signals())
  }
}

extension EventBatch {
  func contains(_ id: String) -> Bool { events.contains { $0.event.sourceEventID == id } }
}

extension Pipeline.Settings {
  /// Without a turn of the relay but the first, unless a test wants more.
  static func test(workers: Int = 1, batchSize: Int = 100, relayInterval: Duration = .seconds(3600))
    -> Pipeline.Settings
  {
    var settings = Pipeline.Settings()
    settings.workers = workers
    settings.batchSize = batchSize
    settings.minRetryDelay = .microseconds(100)
    settings.maxRetryDelay = .milliseconds(1)
    settings.relayInterval = relayInterval
    // On a busy machine ten seconds pass between two steps of a test.
    settings.maxHold = .seconds(3600)
    return settings
  }
}

/// Runs a pipeline while `body` does; then stops it gracefully and waits for its end.
///
/// A run that does not end makes the test fail at its time limit, not hang.
func withPipeline(
  _ source: FakeSource, _ store: FakeEventStore, _ publisher: any ActionPublisher = FakePublisher(),
  _ settings: Pipeline.Settings = .test(),
  health: Health = Health(), liveness: Liveness = Liveness(), stopping body: @Sendable (Pipeline) async throws -> Void,
  meanwhile: @Sendable () async throws -> Void = {}
) async throws -> Statistics.Counts {
  let pipeline = Pipeline(
    source: source, store: store, publisher: publisher, settings: settings, health: health, liveness: liveness,
    logger: quiet)
  try await testGracefulShutdown { @Sendable trigger in
    try await whileRunning({ try await pipeline.run() }) {
      try await body(pipeline)
      trigger.triggerGracefulShutdown()
      try await meanwhile()
    }
  }
  return pipeline.statistics.now
}
