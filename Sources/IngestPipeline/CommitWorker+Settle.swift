import FoundationEssentials
import Journey

/// What follows from a commit.
extension CommitWorker {
  /// Counts the results, and settles the messages whose last event is decided.
  func settle(_ items: [PendingEvent], _ committed: CommitResult) {
    var settled: [MessageOutcome] = []
    settled.reserveCapacity(items.count)
    var stored = 0, duplicates = 0, ignored = 0
    var outcomes: [Statistics.Outcome: Int] = [:], rejections: [Rejection.Code: Int] = [:]
    for (index, (item, result)) in zip(items, committed.results).enumerated() {
      var reason: Rejection?
      switch result {
      case .stored:
        guard let report = item.incoming.report else {
          stored += 1
          break
        }
        let kind = committed.reportedKinds[index]
        outcomes[Statistics.Outcome(action: kind, outcome: report.outcome), default: 0] += 1
      case .duplicate where item.incoming.report != nil: break
      case .duplicate: duplicates += 1
      case .rejected(let rejection)
      where rejection.code == .unknownClient && item.incoming.event.client.whenUnknown == .ignore:
        ignored += 1
      case .rejected(let rejection): reason = rejection
      case .locked, .stateCreated: continue
      }
      guard let outcome = item.message.resolve(reason) else { continue }
      if let code = outcome.rejectionCode { rejections[code, default: 0] += 1 }
      settled.append(outcome)
    }
    inFlight.settled(settled.count)
    statistics.count { counts in
      counts.stored += stored
      counts.duplicates += duplicates
      counts.ignored += ignored
      counts.outcomesOfActions.merge(outcomes, uniquingKeysWith: +)
      counts.rejections.merge(rejections, uniquingKeysWith: +)
    }
    source.settle(settled)
  }

  private struct EventKey: Hashable {
    var orgID: UUID
    var id: String
  }

  /// When the event of the batch that led to each action was sent; nil if none of them did. Of two with the same id the
  /// earlier one counts.
  static func sendTimes(of actions: [ActionMessage], _ items: [PendingEvent]) -> [ContinuousClock.Instant?] {
    let causes = Set(actions.lazy.filter { $0.kind == .recommendation }.map(\.causeID))
    guard !causes.isEmpty else { return [] }
    var times: [EventKey: ContinuousClock.Instant] = [:]
    for item in items {
      let event = item.incoming.event
      guard causes.contains(event.sourceEventID) else { continue }
      let key = EventKey(orgID: event.orgID, id: event.sourceEventID)
      if let known = times[key], known <= item.message.sentAt { continue }
      times[key] = item.message.sentAt
    }
    return actions.map { $0.kind == .recommendation ? times[EventKey(orgID: $0.orgID, id: $0.causeID)] : nil }
  }
}
