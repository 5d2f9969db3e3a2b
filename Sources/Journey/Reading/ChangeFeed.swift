public import FoundationEssentials

/// That something has changed in an organisation, and with which clients where that is known.
public struct JourneyChange: Hashable, Sendable {
  public var orgID: UUID
  /// Empty: nobody knows which.
  public var clients: Set<UUID>

  public init(orgID: UUID, clients: Set<UUID> = []) {
    self.orgID = orgID
    self.clients = clients
  }
}

/// Tells all instances of changes. A message may be lost: it says that it is worth looking, not what is there.
public protocol ChangeFeed: Sendable {
  func notify(_ changes: [JourneyChange]) async throws
  /// Calls back with each message until the task is cancelled or the connection lost.
  func listen(_ receive: @escaping @Sendable (JourneyChange) -> Void) async throws
}
