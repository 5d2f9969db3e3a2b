import Journey
import JourneyPostgres

/// Which instances operators have paused. Pure: from what the database says of them.
struct PauseFinding {
  private let live: [ListedInstance]
  private let running: Int
  private let forAll: PauseOrder?

  /// - Parameters:
  ///   - live: the instances whose lease has not run out.
  ///   - running: how many run, those of earlier versions too, which cannot be paused.
  ///   - forAll: the newest order for all instances.
  init(_ live: [ListedInstance], running: Int, forAll: PauseOrder?) {
    self.live = live
    self.running = max(running, live.count)
    self.forAll = forAll
  }

  private var paused: [ListedInstance] { live.filter(\.isPaused) }

  /// Whether all instances that run are paused; false where none runs.
  var concernsAll: Bool { running > 0 && paused.count == running }

  /// nil: none is paused.
  func text(at now: Timestamp) -> String? {
    if running == 0 {
      guard let forAll, forAll.isPause else { return nil }
      return "no instance runs; those that start will be paused: \(forAll.inWords(at: now))"
    }
    guard !paused.isEmpty else { return nil }
    let names = paused.map { $0.instance.plain(60) }.joined(separator: ", ")
    let which =
      concernsAll
      ? running == 1
        ? "\(names), the only instance, is paused: no events are taken"
        : "all \(running) instances are paused: no events are taken"
      : "\(names) of \(running.of("instance")) \(paused.count == 1 ? "is" : "are") paused"
    let orders = Set(paused.compactMap(\.pause)).sorted { $0.id < $1.id }
    return which + orders.map { "\n\($0.inWords(at: now))" }.joined()
  }
}

extension PauseOrder {
  /// Who, when and why: `paused by ada since 2026-11-30 03:12:00 +0100 (2 h ago): moving the database`.
  func inWords(at now: Timestamp) -> String {
    "paused by \(actor.plain(80)) since \(at.local(at: now))" + (why.map { ": \($0.plain(200))" } ?? "")
  }

  var json: JSONObject { ["by": actor, "at": at, "reason": why] }
}
