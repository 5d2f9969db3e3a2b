public import FoundationEssentials

/// How often a client is contacted, and what is not in its interest. nil in `ActionRules`: it gets whatever there is a
/// reason for.
///
/// An action counts as a contact from its decision on, and from the time at which it was run once that is reported; not
/// if it ends without having been run, or fails.
public struct ContactPolicy: Hashable, Sendable {
  /// Limits on the actions of a channel for one client.
  public struct Limit: Hashable, Sendable {
    /// So many within `window`; at least 1.
    public var most: Int
    public var window: TimeSpan
    /// At least so long from one to the next; 0: no gap.
    public var gap: TimeSpan

    public init(most: Int, window: TimeSpan, gap: TimeSpan = .seconds(0)) {
      self.most = most
      self.window = window
      self.gap = gap
    }
  }

  /// Why an action waits.
  public enum Rule: String, CaseIterable, Sendable {
    /// As many actions of the channel as are allowed within its window.
    case limit
    /// The last action of the channel was too recent.
    case gap
    /// The last action of this kind was too recent.
    case pause
  }

  /// By channel; one that is missing has no limit.
  public var limits: [Channel: Limit] = [:]
  /// How long after an action of a kind there is no other of it.
  public var pauses: EnumTable<ActionKind, TimeSpan> = [:]
  /// Risks with which an action of a kind would not be in the client's interest.
  public var unsuitable: EnumTable<ActionKind, Set<Risk>> = [:]
  /// nil: none.
  public var quietHours: QuietHours?
  /// A kind that is missing is of the class `standard`. What is of another class counts as a contact all the same.
  public var classes: EnumTable<ActionKind, ActionClass> = [:]
  /// Channels that need a consent, each with its purpose.
  public var consent: [Channel: String] = [:]
  /// Event types with which a client says that it wants no more on a channel.
  public var unsubscribes: [String: Channel] = [:]
  /// nil: there is none.
  public var holdout: Holdout?

  public init() {}

  /// How long a contact matters.
  func memory(of contact: ActionHistory.Contact) -> TimeSpan {
    let limit = limits[contact.channel].map { max($0.window, $0.gap) } ?? .seconds(0)
    return max(limit, pauses[contact.kind] ?? .seconds(0))
  }
}

extension ActionRules {
  /// What of the contact policy forbids an action now, and until when; nil: nothing does.
  ///
  /// What the action would replace does not count, because it ends without having been run.
  func wait(
    for candidate: Candidate, _ history: ActionHistory, at now: Timestamp
  ) -> (rule: ContactPolicy.Rule, until: Timestamp)? {
    guard let contact, !history.contacts.isEmpty, actionClass(of: candidate.action) == .standard else { return nil }
    let replaced = history.entries.filter { isReplaced($0, by: candidate, at: now) }.map(\.actionID)
    let contacts = history.contacts.filter { !replaced.contains($0.actionID) }
    var found: (rule: ContactPolicy.Rule, until: Timestamp)?
    func waits(_ rule: ContactPolicy.Rule, until: Timestamp) {
      if until > now, found.map({ $0.until < until }) ?? true { found = (rule, until) }
    }
    if let pause = contact.pauses[candidate.action], let last = contacts.last(where: { $0.kind == candidate.action }) {
      waits(.pause, until: last.at + pause)
    }
    guard let limit = contact.limits[candidate.channel] else { return found }
    let same = contacts.filter { $0.channel == candidate.channel }
    if let last = same.last { waits(.gap, until: last.at + limit.gap) }
    if same.count >= limit.most { waits(.limit, until: same[same.count - limit.most].at + limit.window) }
    return found
  }

  /// A risk with which an action would not be in the client's interest; nil: there is none.
  func objection(to candidate: Candidate, _ assessment: Assessment) -> Risk? {
    guard let risks = contact?.unsuitable[candidate.action] else { return nil }
    return assessment.risks.first { risks.contains($0.risk) }?.risk
  }
}

extension ActionHistory {
  /// An action that has reached the client, or may yet.
  public struct Contact: Hashable, Sendable {
    public var channel: Channel
    public var kind: ActionKind
    public var actionID: UUID
    public var at: Timestamp
  }

  static let maxContacts = 64

  /// Records a contact, once for an action: of two times the later one counts, which is that of the report.
  mutating func addContact(_ contact: Contact) {
    if let known = contacts.firstIndex(where: { $0.actionID == contact.actionID }) {
      guard contacts[known].at < contact.at else { return }
      contacts.remove(at: known)
    }
    let index = contacts.firstIndex { $0.at > contact.at } ?? contacts.count
    contacts.insert(contact, at: index)
    if contacts.count > Self.maxContacts { contacts.removeFirst() }
  }

  /// An action has ended without having been run, or it has failed.
  mutating func removeContact(_ actionID: UUID) { contacts.removeAll { $0.actionID == actionID } }
}
