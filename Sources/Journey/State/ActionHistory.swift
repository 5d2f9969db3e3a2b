public import FoundationEssentials

/// The last published action of each kind for a client, used by the cooldown.
///
/// Unlike the summary it records what the adapter did and cannot be derived from the events.
public struct ActionHistory: Hashable, Sendable {
  public struct Entry: Hashable, Sendable {
    public var actionID: UUID
    public var decidedAt: Timestamp
    /// nil: published by an earlier version, which did not store the priority.
    public var priority: Priority?
  }

  public internal(set) var last: [ActionKind: Entry] = [:]

  public init() {}

  public mutating func record(_ kind: ActionKind, id: UUID, at time: Timestamp, priority: Priority?) {
    last[kind] = Entry(actionID: id, decidedAt: time, priority: priority)
  }
}
