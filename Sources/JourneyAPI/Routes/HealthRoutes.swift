import HTTPTypes
import Hummingbird
import Journey
import JourneyPipeline

/// Whether the adapter does its work right now.
public struct Readiness: Hashable, Sendable {
  /// The broker has confirmed the subscription to the ingest queue.
  public var isConsuming: Bool
  /// The broker takes what is published.
  public var isPublishing: Bool
  /// The database answers.
  public var hasDatabase: Bool

  public init(isConsuming: Bool, isPublishing: Bool, hasDatabase: Bool) {
    self.isConsuming = isConsuming
    self.isPublishing = isPublishing
    self.hasDatabase = hasDatabase
  }
  public var isReady: Bool { isConsuming && isPublishing && hasDatabase }
}

/// For probes; no token is needed, and nothing is told but these words.
struct HealthRoutes: Sendable {
  let readiness: @Sendable () async -> Readiness

  func add(to router: some RouterMethods<APIContext>) {
    router.resource(
      "health",
      [
        .get: { request, _ in
          _ = try Query(request)
          return fresh(Array(#"{"status":"ok"}"#.utf8))
        }
      ])
    router.resource(
      "ready",
      [
        .get: { request, _ in
          _ = try Query(request)
          let now = await readiness()
          return fresh(
            json {
              $0.beginObject()
              $0.member("status", now.isReady ? "ready" : "not ready")
              for (name, value) in [("consuming", now.isConsuming), ("publishing", now.isPublishing), ("database", now.hasDatabase)] {
                $0.key(name)
                $0.bool(value)
              }
              $0.endObject()
            }, status: now.isReady ? .ok : .serviceUnavailable)
        }
      ])
  }
}
