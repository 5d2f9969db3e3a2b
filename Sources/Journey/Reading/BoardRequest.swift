public import FoundationEssentials

/// A list whose order moves while somebody pages through it. The first page is how things stand; the pages after it are
/// the rest as it stood when the second one was asked for, without what the first had: so no client that is on the list
/// all the while is missed or comes twice.
public struct BoardRequest: Hashable, Sendable {
  public enum Position: Hashable, Sendable {
    case start
    /// After a first page with these clients.
    case after([UUID])
    /// Within the rest that was kept.
    case kept(UUID, offset: Int)
  }

  public var position: Position
  /// 1...200.
  public var limit: Int

  public init(_ position: Position = .start, limit: Int) {
    self.position = position
    self.limit = limit
  }
}

/// What became of an action.
public enum ActionState: String, CaseIterable, Sendable {
  case proposed
  case published
}

/// Remembers for a while which event an Idempotency-Key was used for.
public protocol RequestKeys: Sendable {
  /// - Returns: whether the key is new, or was used with the same fingerprint.
  func claim(_ key: UUID, of user: UUID, fingerprint: UUID) async throws(StoreError) -> Bool
}
