import HTTPTypes
import Hummingbird
public import Journey

/// Whether the adapter does its work right now.
public struct Readiness: Hashable, Sendable {
  /// The broker has confirmed the subscription to the ingest queue.
  public var isConsuming: Bool
  /// An operator has paused consuming (`journey pause`).
  public var isPaused: Bool
  /// The broker takes what is published.
  public var isPublishing: Bool
  /// The database answers.
  public var hasDatabase: Bool
  /// The parts whose last attempt failed.
  public var problems: [Health.Problem]

  public init(
    isConsuming: Bool, isPaused: Bool = false, isPublishing: Bool, hasDatabase: Bool, problems: [Health.Problem] = []
  ) {
    self.isConsuming = isConsuming
    self.isPaused = isPaused
    self.isPublishing = isPublishing
    self.hasDatabase = hasDatabase
    // What was the matter with the subscription is of no interest while there is to be none.
    self.problems = isPaused ? problems.filter { $0.part != .ingest } : problems
  }

  /// A paused instance is ready: it obeys its order, and a new start would change nothing.
  public var isReady: Bool { (isConsuming || isPaused) && isPublishing && hasDatabase && problems.isEmpty }
}

extension Readiness {
  /// As `contracts/openapi.yaml` says.
  var json: JSONObject {
    [
      "status": isReady ? "ready" : "not ready", "consuming": isConsuming, "paused": isPaused,
      "publishing": isPublishing,
      "database": hasDatabase, "problems": problems,
    ]
  }
}

/// Probes. They need no token and reveal nothing else.
struct HealthRoutes: Sendable {
  let probes: Probes

  func add(to router: some RouterMethods<APIContext>) {
    let answers: [(RouterPath, any KeyPath<Probes, Probes.Answer> & Sendable)] = [
      ("live", \.live), ("health", \.live), ("ready", \.ready),
    ]
    for (path, answer) in answers {
      router.resource(path) { request, _ in
        _ = try Query(request)
        let answer = probes[keyPath: answer]
        return noStoreResponse(answer.document, status: answer.isGood ? .ok : .serviceUnavailable)
      }
    }
  }
}
