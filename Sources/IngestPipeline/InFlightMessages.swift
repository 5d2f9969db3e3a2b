import Journey
import Synchronization

/// Aborts messages and counts those that are not settled.
final class InFlightMessages: Sendable {
  private let unsettled = Atomic<Int>(0)
  private let countReleased = Atomic<Int>(0)

  /// Messages that are received and not settled.
  var count: Int { max(0, unsettled.load(ordering: .relaxed)) }

  func received(_ count: Int) { unsettled.add(count, ordering: .relaxed) }

  func settled(_ count: Int) { unsettled.subtract(count, ordering: .relaxed) }

  /// Postpones the messages of these events, each message once.
  func postpone(_ events: [PendingEvent]) -> [MessageOutcome] { giveUp(events, .postponed) }

  /// Releases messages at the end of a run, and counts them for its report.
  func release(_ events: [PendingEvent]) -> [MessageOutcome] {
    let outcomes = giveUp(events, .released)
    countReleased.add(outcomes.count, ordering: .relaxed)
    return outcomes
  }

  /// Drops messages of a lost connection: the queue delivers them again.
  func forget(_ events: [PendingEvent]) { _ = giveUp(events, .released) }

  private func giveUp(_ events: [PendingEvent], _ kind: MessageOutcome.Kind) -> [MessageOutcome] {
    let outcomes = events.compactMap { $0.message.giveUp() ? MessageOutcome($0.message, kind) : nil }
    settled(outcomes.count)
    return outcomes
  }

  /// How many messages the run has not settled: released, or still in flight.
  var leftOver: Int { countReleased.load(ordering: .relaxed) + max(0, unsettled.load(ordering: .relaxed)) }
}
