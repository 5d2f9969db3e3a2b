public import FoundationEssentials

/// The actions that were last published for a client, one of each kind: what the cooldown looks at.
///
/// Unlike the summary this is a history of what the adapter did, not a function of the events.
public struct ActionHistory: Hashable, Sendable {
  public struct Entry: Hashable, Sendable {
    public var actionID: UUID
    public var decidedAt: Timestamp
    /// nil: an earlier version of the adapter published it, and did not keep its priority.
    public var priority: Priority?
  }

  public internal(set) var last: [ActionKind: Entry] = [:]

  public init() {}

  public mutating func record(_ kind: ActionKind, id: UUID, at time: Timestamp, priority: Priority?) {
    last[kind] = Entry(actionID: id, decidedAt: time, priority: priority)
  }
}
