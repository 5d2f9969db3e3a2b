public import FoundationEssentials

/// A page of a list whose order changes between requests. The first page shows the current order. The second request
/// stores the rest of the list at that moment, without the first page's clients. So a client that stays on the list is
/// neither missed nor repeated.
public struct BoardRequest: Hashable, Sendable {
  public enum Position: Hashable, Sendable {
    case start
    /// After a first page with these clients.
    case after([UUID])
    /// At an offset in the stored rest.
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

/// Remembers for some time which event each Idempotency-Key was used for.
public protocol RequestKeys: Sendable {
  /// - Returns: whether the key is new, or was used with the same fingerprint.
  func claim(_ key: UUID, of user: UUID, fingerprint: UUID) async throws(StoreError) -> Bool
}
