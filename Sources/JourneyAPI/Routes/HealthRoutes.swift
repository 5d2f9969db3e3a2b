import HTTPTypes
import Hummingbird
public import Journey

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

extension Readiness {
  /// As `contracts/openapi.yaml` says.
  var document: [UInt8] {
    let answer: JSONObject = [
      "status": isReady ? "ready" : "not ready", "consuming": isConsuming, "publishing": isPublishing,
      "database": hasDatabase, "problems": problems,
    ]
    return encodeJSON(answer)
  }
}

/// Probes. They need no token and reveal nothing else.
struct HealthRoutes: Sendable {
  static let alive = Array(#"{"status":"ok"}"#.utf8)

  /// Answers at once, from what is known.
  let readiness: @Sendable () -> Readiness

  func add(to router: some RouterMethods<APIContext>) {
    for path: RouterPath in ["live", "health"] {
      router.resource(path) { request, _ in
        _ = try Query(request)
        return noStoreResponse(Self.alive)
      }
    }
    router.resource("ready") { request, _ in
      _ = try Query(request)
      let now = readiness()
      return noStoreResponse(now.document, status: now.isReady ? .ok : .serviceUnavailable)
    }
  }
}
