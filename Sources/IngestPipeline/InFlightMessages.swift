import Journey
import Synchronization

/// Gives messages up, and counts those that are not settled yet.
final class InFlightMessages: Sendable {
  private let unsettled = Atomic<Int>(0)
  private let countReleased = Atomic<Int>(0)

  func received(_ count: Int) { unsettled.add(count, ordering: .relaxed) }

  func settled(_ count: Int) { unsettled.subtract(count, ordering: .relaxed) }

  /// Gives messages up for now, to be delivered again later; each once, however many of its events are given up.
  func postpone(_ events: [PendingEvent]) -> [MessageOutcome] { giveUp(events, .postponed) }

  /// Gives messages up at the end of a run; the run's report counts them.
  func release(_ events: [PendingEvent]) -> [MessageOutcome] {
    let outcomes = giveUp(events, .released)
    countReleased.add(outcomes.count, ordering: .relaxed)
    return outcomes
  }

  /// Forgets messages that came on a lost connection: the queue delivers them again.
  func forget(_ events: [PendingEvent]) { _ = giveUp(events, .released) }

  private func giveUp(_ events: [PendingEvent], _ kind: MessageOutcome.Kind) -> [MessageOutcome] {
    let outcomes = events.compactMap { $0.message.giveUp() ? MessageOutcome($0.message, kind) : nil }
    settled(outcomes.count)
    return outcomes
  }

  /// How many messages a run that has ended has not settled: given back, or simply left.
  var leftOver: Int { countReleased.load(ordering: .relaxed) + max(0, unsettled.load(ordering: .relaxed)) }
}
