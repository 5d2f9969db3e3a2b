public import Journey
import Synchronization

/// The answers to probes: at once, from what is known.
public final class Probes: Sendable {
  private enum State {
    /// The check under way.
    case starting(String)
    case started(@Sendable () -> Readiness)
  }
  private let liveness: Liveness
  private let state = Mutex(State.starting("settings"))
  private let metricsText = Mutex<(@Sendable () async -> [UInt8])?>(nil)

  public init(_ liveness: Liveness) { self.liveness = liveness }

  /// From now on `/metrics` is answered.
  /// - Parameter text: in Prometheus's text format; returns within two seconds, whatever the servers do.
  public func serveMetrics(_ text: @escaping @Sendable () async -> [UInt8]) { metricsText.withLock { $0 = text } }

  /// nil: there are none, or not yet.
  var metrics: (@Sendable () async -> [UInt8])? { metricsText.withLock(\.self) }

  /// Says which check of the start is under way.
  public func check(_ what: String) { state.withLock { $0 = .starting(what) } }

  /// The checks of the start have passed.
  public func started(_ readiness: @escaping @Sendable () -> Readiness) { state.withLock { $0 = .started(readiness) } }

  struct Answer {
    var isGood: Bool
    var document: [UInt8]

    init(_ isGood: Bool, _ object: JSONObject) {
      self.isGood = isGood
      document = encodeJSON(object)
    }
  }

  /// Whether the loops of the process turn. The broker or the database being away makes no difference.
  var live: Answer {
    let stuck = liveness.stuck
    return stuck.isEmpty ? Answer(true, ["status": "ok"]) : Answer(false, ["status": "stuck", "stuck": stuck])
  }

  /// Whether the checks of the start have passed.
  var startup: Answer {
    switch state.withLock(\.self) {
    case .starting(let check): Answer(false, ["status": "starting", "problems": [Self.underWay(check)]])
    case .started: Answer(true, ["status": "started"])
    }
  }

  var ready: Answer {
    let now =
      switch state.withLock(\.self) {
      case .starting(let check):
        Readiness(isConsuming: false, isPublishing: false, hasDatabase: false, problems: [Self.underWay(check)])
      case .started(let readiness): readiness()
      }
    return Answer(now.isReady, now.json)
  }

  private static func underWay(_ check: String) -> Health.Problem {
    Health.Problem(part: .start, reason: "not started yet; under way: \(check)")
  }
}
