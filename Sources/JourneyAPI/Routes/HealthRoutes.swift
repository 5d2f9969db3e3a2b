import HTTPTypes
import Hummingbird
import Journey
public import JourneyPipeline

/// Whether the adapter does its work right now.
public struct Readiness: Hashable, Sendable {
  /// The broker has confirmed the subscription to the ingest queue.
  public var isConsuming: Bool
  /// The broker takes what is published.
  public var isPublishing: Bool
  /// The database answers.
  public var hasDatabase: Bool
  /// The parts whose last attempt failed.
  public var problems: [Health.Problem]

  public init(isConsuming: Bool, isPublishing: Bool, hasDatabase: Bool, problems: [Health.Problem] = []) {
    self.isConsuming = isConsuming
    self.isPublishing = isPublishing
    self.hasDatabase = hasDatabase
    self.problems = problems
  }
  public var isReady: Bool { isConsuming && isPublishing && hasDatabase && problems.isEmpty }
}

/// For probes; no token is needed, and nothing is told but these words.
struct HealthRoutes: Sendable {
  /// Answers at once, from what is known.
  let readiness: @Sendable () -> Readiness

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
          let now = readiness()
          return fresh(
            json {
              $0.beginObject()
              $0.member("status", now.isReady ? "ready" : "not ready")
              for (name, value) in [("consuming", now.isConsuming), ("publishing", now.isPublishing), ("database", now.hasDatabase)] {
                $0.key(name)
                $0.bool(value)
              }
              $0.key("problems")
              $0.beginArray()
              for problem in now.problems {
                $0.beginObject()
                $0.member("part", problem.part.rawValue)
                $0.member("reason", problem.reason)
                $0.endObject()
              }
              $0.endArray()
              $0.endObject()
            }, status: now.isReady ? .ok : .serviceUnavailable)
        }
      ])
  }
}
