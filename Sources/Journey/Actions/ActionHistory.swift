public import FoundationEssentials

/// What was last done for a client, and the channels on which it cannot be reached: what decisions need to know of
/// earlier actions. Part of the client's state, so it costs no row of its own.
///
/// Unlike the summary it records what the adapter did and cannot be derived from the events.
public struct ActionHistory: Hashable, Sendable {
  /// An action. Of one kind and trigger at most one is open that was not run.
  public struct Entry: Hashable, Sendable {
    public var kind: ActionKind
    public var actionID: UUID
    public var decidedAt: Timestamp
    /// nil: published by an earlier version, which did not store the priority.
    public var priority: Priority?
    /// nil: published by an earlier version, or without a life.
    public var trigger: Candidate.Trigger?
    /// How often it was recommended again while it was open.
    public var repeats = 0
    /// Whether a worker has run it.
    public var isRun = false
    /// Until when a person has put it off; may have passed.
    public var snoozedUntil: Timestamp?
    /// How it ended; nil: it is open.
    public var end: End?

    public struct End: Hashable, Sendable {
      public var state: ActionState
      public var at: Timestamp
    }
  }

  /// By kind, then by time.
  public internal(set) var entries: [Entry] = []
  /// By channel, then by cause, wishes first.
  public internal(set) var blocks: [Block] = []
  /// By channel.
  public internal(set) var lifts: [Lift] = []
  /// By channel, then by purpose.
  public internal(set) var consents: [Consent] = []
  /// By time. Only what the rules count.
  public internal(set) var contacts: [Contact] = []
  /// When a candidate that had to wait is considered again; nil: none waits.
  public internal(set) var reconsiderAt: Timestamp?
  /// When a client at a great risk is decided about again, see `LifeRules.followUpFrom`; nil: it is not.
  public internal(set) var followUpAt: Timestamp?

  static let maxEntries = 16

  public init() {}

  /// The newest of a kind.
  func newest(_ kind: ActionKind) -> Entry? { entries.last { $0.kind == kind } }

  /// Records a published action. It replaces one of the same kind and trigger, and all without a trigger; what was run
  /// still waits for its answer.
  public mutating func record(
    _ kind: ActionKind, id: UUID, at time: Timestamp, priority: Priority?, trigger: Candidate.Trigger? = nil
  ) {
    entries.removeAll {
      $0.kind == kind && (trigger == nil || $0.trigger == nil || $0.trigger == trigger && (!$0.isRun || $0.end != nil))
    }
    insert(Entry(kind: kind, actionID: id, decidedAt: time, priority: priority, trigger: trigger))
    if entries.count > Self.maxEntries, let oldest = entries.indices.min(by: { isLess(entries[$0], entries[$1]) }) {
      entries.remove(at: oldest)
    }
  }

  /// What ended counts for less than what is open, and of these the older.
  private func isLess(_ a: Entry, _ b: Entry) -> Bool {
    (a.end == nil) == (b.end == nil) ? a.decidedAt < b.decidedAt : b.end == nil
  }

  mutating func insert(_ entry: Entry) {
    let index = entries.firstIndex { Self.precedes(entry, $0) } ?? entries.count
    entries.insert(entry, at: index)
  }

  private static func precedes(_ a: Entry, _ b: Entry) -> Bool {
    if a.kind != b.kind { return a.kind.rawValue < b.kind.rawValue }
    return a.decidedAt == b.decidedAt ? a.actionID.precedesByBytes(b.actionID) : a.decidedAt < b.decidedAt
  }

  /// Counts that an open action was recommended once more.
  mutating func repeated(_ actionID: UUID) {
    for index in entries.indices where entries[index].actionID == actionID { entries[index].repeats &+= 1 }
  }

  /// Forgets an action, so that the next evaluation may recommend it again.
  public mutating func remove(_ actionID: UUID) {
    entries.removeAll { $0.actionID == actionID }
    removeContact(actionID)
  }

  /// Ends an action.
  public mutating func end(_ actionID: UUID, _ state: ActionState, at time: Timestamp) {
    for index in entries.indices where entries[index].actionID == actionID {
      entries[index].end = Entry.End(state: state, at: time)
      // Without an expiry a worker may run it at any time, even after nobody has answered.
      if !entries[index].isRun, state != .noResponse { removeContact(actionID) }
    }
  }

  /// Takes over that the client cannot be reached on a channel, or does not want to be.
  /// - Returns: whether that is new: a client may unsubscribe by an action for the second time.
  @discardableResult
  public mutating func applyBlock(of report: OutcomeReport, on channel: Channel) -> Bool {
    guard let cause = report.outcome.blockCause else { return false }
    return add(Block(channel: channel, cause: cause, id: report.actionID, at: report.occurredAt))
  }

  /// Takes over what a report has changed.
  /// - Parameters:
  ///   - life: the action's, with the report.
  ///   - kind: the action's; nil: this version does not know it.
  ///   - channel: the action's.
  ///   - countsContacts: whether the rules count how often a client is contacted.
  public mutating func apply(
    _ report: OutcomeReport, to life: ActionLife, _ kind: ActionKind?, on channel: Channel, countsContacts: Bool
  ) {
    applyBlock(of: report, on: channel)
    for index in entries.indices where entries[index].actionID == report.actionID {
      if report.outcome == .snoozed { entries[index].snoozedUntil = report.until }
      if life.isRun { entries[index].isRun = true }
      if let state = life.state, !state.isOpen { entries[index].end = Entry.End(state: state, at: report.occurredAt) }
    }
    guard countsContacts else { return }
    if let reachedAt = life.reachedAt {
      guard let kind else { return }
      removeContact(report.actionID)
      // A worker's clock does not make it earlier than its decision.
      let at = max(reachedAt, report.actionID.timestamp ?? reachedAt)
      addContact(Contact(channel: channel, kind: kind, actionID: report.actionID, at: at))
    } else if life.state?.isOpen == false {
      removeContact(report.actionID)
    }
  }
}

/// How an action lives on after it was published. nil in `ActionRules`: it ends when it is published.
public struct LifeRules: Hashable, Sendable {
  /// An action that was run and not answered for this long ends as `no_response`.
  public var noResponseAfter = TimeSpan.days(5)
  /// For how long an action that the client has rejected is not recommended again.
  public var afterRejection = TimeSpan.days(30)
  /// The same after no response.
  public var afterNoResponse = TimeSpan.days(7)
  /// The same after it has expired or failed. A higher priority ends these two times.
  public var afterExpiry = TimeSpan.days(1)
  /// Whether an action that was not run is taken back when its cause is gone.
  public var revokes = true
  /// From this risk level on, what a client still needs is considered again when nothing stands in its way any more, also
  /// if no event comes. nil: only an event or a change of the risks leads to another action.
  public var followUpFrom: RiskLevel? = .critical

  public init() {}

  /// How long an ended action stands in the way of another of its kind.
  func pause(after state: ActionState) -> TimeSpan {
    switch state {
    case .rejected: afterRejection
    case .noResponse: afterNoResponse
    case .expired, .failed: afterExpiry
    default: .seconds(0)
    }
  }
}

extension ActionRules {
  /// The next moment at which an action ends or returns by itself, or the client is considered again; nil if there is
  /// none.
  /// - Parameter onlyLater: whether to leave out what has passed. Otherwise that is due.
  func nextChange(of history: ActionHistory, after now: Timestamp, onlyLater: Bool = false) -> Timestamp? {
    guard let life else { return nil }
    var next: Timestamp?
    func take(_ moment: Timestamp?) {
      guard let moment, !onlyLater || moment > now else { return }
      next = min(next ?? moment, moment)
    }
    take(history.reconsiderAt)
    take(history.followUpAt)
    // Without a trigger, it was published before actions had a life.
    for entry in history.entries where entry.end == nil && entry.trigger != nil {
      take(entry.snoozedUntil.flatMap { $0 > now ? $0 : nil } ?? end(of: entry, life).at)
    }
    return next
  }

  /// When a client at such a risk is looked at again, because an action ends or no longer stands in the way of another;
  /// nil: it is not.
  /// - Parameter history: with what was decided.
  func followUp(
    _ decision: Decision, of assessment: Assessment, _ history: ActionHistory, after now: Timestamp
  ) -> Timestamp? {
    guard let life, let level = life.followUpFrom, assessment.level >= level else { return nil }
    let moments = zip(assessment.candidates, decision.verdicts).compactMap { candidate, verdict -> Timestamp? in
      switch verdict {
      case .pausing(_, _, let until), .coolingDown(_, let until), .snoozed(_, let until): return until
      case .chosen, .open:
        let open: UUID? = if case .open(let actionID, _) = verdict { actionID } else { nil }
        let entry = open.map { id in history.entries.first { $0.actionID == id } } ?? history.newest(candidate.action)
        guard let entry, entry.end == nil else { return nil }
        return max(end(of: entry, life).at, entry.decidedAt + cooldown(after: entry))
      default: return nil
      }
    }
    return moments.filter { $0 > now }.min()
  }

  /// How long an action stands in the way of another of its kind. One that was not run does so until it expires.
  func cooldown(after entry: ActionHistory.Entry) -> TimeSpan {
    entry.isRun ? cooldown : cooldownUntilExpiry(of: entry.kind)
  }

  /// How and when an open action ends by itself.
  private func end(of entry: ActionHistory.Entry, _ life: LifeRules) -> (state: ActionState, at: Timestamp) {
    let begin = max(entry.decidedAt, entry.snoozedUntil ?? entry.decidedAt)
    if let expiry = expiry(of: entry.kind), !entry.isRun { return (.expired, begin + expiry) }
    return (.noResponse, begin + life.noResponseAfter)
  }

  /// When another action of the kind is possible, if nobody runs or answers an open one any more; nil: without a life.
  func opens(after entry: ActionHistory.Entry) -> Timestamp? {
    life.map { life in
      let end = end(of: entry, life), pause = life.pause(after: end.state)
      return pause > .seconds(0) ? end.at + pause : max(end.at, entry.decidedAt + cooldown(after: entry))
    }
  }

  /// Ends what is over by `now`, and forgets what no longer matters.
  func advance(_ history: inout ActionHistory, to now: Timestamp, _ changes: inout [ActionChange]) {
    guard let life else { return }
    if let contact, !history.contacts.isEmpty {
      // What is open may yet be run.
      let open = history.entries.filter { $0.end == nil && !$0.isRun }.map(\.actionID)
      history.contacts.removeAll { $0.at + contact.memory(of: $0) <= now && !open.contains($0.actionID) }
    }
    guard !history.entries.isEmpty else { return }
    for index in history.entries.indices {
      let entry = history.entries[index]
      guard entry.end == nil, entry.trigger != nil else { continue }
      let end = end(of: entry, life)
      guard end.at <= now else { continue }
      history.end(entry.actionID, end.state, at: end.at)
      changes.append(ActionChange(actionID: entry.actionID, state: end.state, at: end.at))
    }
    history.entries.removeAll { entry in
      guard let end = entry.end else { return false }
      return max(end.at + life.pause(after: end.state), entry.decidedAt + cooldown(after: entry)) <= now
    }
  }

  /// Takes back what was not run and has lost its cause.
  func revoke(
    _ history: inout ActionHistory, for assessment: Assessment, at now: Timestamp, _ changes: inout [ActionChange]
  ) {
    guard let life, life.revokes else { return }
    for index in history.entries.indices {
      let entry = history.entries[index]
      guard entry.end == nil, !entry.isRun, let trigger = entry.trigger,
        let why = reasonToRevoke(entry.kind, trigger, assessment)
      else { continue }
      history.end(entry.actionID, .revoked, at: now)
      changes.append(ActionChange(actionID: entry.actionID, state: .revoked, at: now, detail: why))
    }
  }

  /// Why an action is taken back; nil: some stage or risk still asks for it.
  private func reasonToRevoke(
    _ kind: ActionKind, _ trigger: Candidate.Trigger, _ assessment: Assessment
  ) -> String? {
    guard let candidate = assessment.candidates.first(where: { $0.action == kind }) else {
      return "\(trigger.label) no longer holds"
    }
    // It depends on the kind alone.
    return objection(to: candidate, assessment).map { "not in the client's interest with \($0.rawValue)" }
  }

  /// Ends the open actions of the same kind that a new one replaces. What was run stays as it is.
  func supersede(
    _ history: inout ActionHistory, by winner: Candidate, _ id: UUID, at now: Timestamp,
    _ changes: inout [ActionChange]
  ) {
    guard life != nil else { return }
    for entry in history.entries where isReplaced(entry, by: winner, at: now) {
      changes.append(
        ActionChange(actionID: entry.actionID, state: .superseded, at: now, detail: "replaced by \(id.text)"))
      history.remove(entry.actionID)
    }
  }

  /// Whether a new action takes the place of one that is open and was not run.
  func isReplaced(_ entry: ActionHistory.Entry, by winner: Candidate, at now: Timestamp) -> Bool {
    entry.kind == winner.action && entry.end == nil && !entry.isRun && entry.trigger != nil
      && (entry.trigger == winner.trigger || now < entry.decidedAt + cooldownUntilExpiry(of: entry.kind))
  }
}
