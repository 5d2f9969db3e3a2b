public import FoundationEssentials

/// A change in an organisation, with the clients concerned if known.
public struct JourneyChange: Hashable, Sendable {
  public var orgID: UUID
  /// Empty if unknown.
  public var clients: Set<UUID>

  public init(orgID: UUID, clients: Set<UUID> = []) {
    self.orgID = orgID
    self.clients = clients
  }
}

/// Notifies all instances of changes. A notification may be lost; it carries no data, only a reason to read again.
public protocol ChangeFeed: Sendable {
  func notify(_ changes: [JourneyChange]) async throws
  /// Calls back for each change until the task is cancelled or the connection is lost.
  func listen(_ receive: @escaping @Sendable (JourneyChange) -> Void) async throws
}
