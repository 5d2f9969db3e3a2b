public import FoundationEssentials

/// A change in the life of an action.
public struct ActionChange: Hashable, Sendable {
  public var actionID: UUID
  /// nil: an outcome that leaves the state as it is.
  public var state: ActionState?
  /// When it happened.
  public var at: Timestamp
  /// Who says so: `journey`, `worker:<broker user>` or `person:<name>`.
  public var by: String
  /// The outcome that was reported, if it was.
  public var outcome: ActionOutcome?
  /// For people.
  public var detail: String?
  /// When it became known; nil: now.
  public var recordedAt: Timestamp?

  public init(
    actionID: UUID, state: ActionState?, at: Timestamp, by: String = "journey", outcome: ActionOutcome? = nil,
    detail: String? = nil
  ) {
    self.actionID = actionID
    self.state = state
    self.at = at
    self.by = by
    self.outcome = outcome
    self.detail = detail
  }
}

/// What has happened to an action since it was published: the state machine of its life.
///
/// The state depends only on the changes, not on the order in which they become known. What the world has seen counts
/// for more than what the adapter has decided: an action that was run although it was revoked was run.
public struct ActionLife: Hashable, Sendable {
  /// Oldest first, in the order in which they became known; each state and each outcome once.
  public private(set) var history: [ActionChange]
  /// Until when a person has put it off.
  public var snoozedUntil: Timestamp?
  /// Whether it certainly never reached the broker.
  public var isUnsent: Bool
  /// Whether people run it: then `delivered` means that it is on their list, and nobody has run it yet.
  public var isForPeople: Bool

  public init(
    history: [ActionChange] = [], snoozedUntil: Timestamp? = nil, isUnsent: Bool = false, isForPeople: Bool = false
  ) {
    self.history = history
    self.snoozedUntil = snoozedUntil
    self.isUnsent = isUnsent
    self.isForPeople = isForPeople
  }

  public enum Effect: Hashable, Sendable {
    case changed
    /// Known already.
    case repeated
    /// Impossible; the reason, for people.
    case refused(String)
  }

  /// The state; nil: nothing has happened since it was published.
  public var state: ActionState? {
    let answers = history.filter { $0.state == .accepted || $0.state == .rejected }
    // Of two answers at once the more careful one counts.
    if let last = answers.max(by: { ($0.at, $0.state == .rejected ? 1 : 0) < ($1.at, $1.state == .rejected ? 1 : 0) }) {
      return last.state
    }
    let seen = [time(of: .delivered), time(of: .opened)].compactMap { $0 }.max()
    if let failed = time(of: .failed), seen.map({ failed >= $0 }) ?? true { return .failed }
    if let ended = time(of: .noResponse), seen.map({ ended >= $0 }) ?? true { return .noResponse }
    if time(of: .opened) != nil { return .opened }
    let closing = history.firstIndex { $0.state.map { !$0.isRun } ?? false }
    // What was taken back first was run all the same. The other way round it was only on somebody's list.
    if let delivered = history.firstIndex(where: { $0.state == .delivered }), closing.map({ $0 < delivered }) ?? true {
      return .delivered
    }
    return closing.flatMap { history[$0].state }
  }

  /// When it reached the client, as the earliest report says; nil: it was not run, or it failed and the client has not
  /// shown that it got it.
  public var reachedAt: Timestamp? {
    guard isRun, state != .failed || history.contains(where: { $0.outcome == .opened || $0.outcome == .replied }) else {
      return nil
    }
    return history.filter { $0.state.map { $0.isRun && $0 != .failed } ?? false }.map(\.at).min()
  }

  /// Whether the world has seen it.
  public var isRun: Bool { state.map { $0.isRun && !(isForPeople && $0 == .delivered) } ?? false }

  /// When the state began; nil: nothing has happened since it was published.
  public var stateSince: Timestamp? {
    let state = state
    return history.last { $0.state == state }?.at ?? history.last?.at
  }

  private func time(of state: ActionState) -> Timestamp? { history.filter { $0.state == state }.map(\.at).max() }

  /// Records a change of the adapter's own, or of a person: `expired`, `no_response`, `revoked`, `superseded`.
  public mutating func close(_ change: ActionChange) -> Effect {
    guard let target = change.state else { return .refused("nothing is to be changed") }
    if history.contains(where: { $0.state == target }) { return .repeated }
    let now = state ?? .published
    guard now.isOpen else { return .refused("it is \(now.rawValue)") }
    guard target == .noResponse || !isRun else {
      return .refused("a worker has run it: it is \(now.rawValue)")
    }
    history.append(change)
    return .changed
  }

  /// Records a report. Reports may come in any order and twice.
  public mutating func apply(_ report: OutcomeReport) -> Effect {
    // What was taken back before it came onto the list is not on it.
    if isForPeople, report.outcome == .delivered, let state, !state.isOpen { return .repeated }
    if isUnsent { return .refused("the action was never sent") }
    if report.outcome == .snoozed {
      let last = history.first { $0.outcome == .snoozed }
      guard last.map({ $0.at < report.occurredAt }) ?? true else { return .repeated }
      if let state, !state.isOpen { return .refused("it is \(state.rawValue)") }
      guard let until = report.until else { return .refused("it does not say until when") }
      snoozedUntil = until
      history.removeAll { $0.outcome == .snoozed }
    } else if history.contains(where: { $0.outcome == report.outcome }) {
      return .repeated
    }
    history.append(
      ActionChange(
        actionID: report.actionID, state: report.outcome.state, at: report.occurredAt, by: report.reporter,
        outcome: report.outcome, detail: report.detail))
    return .changed
  }
}
