public import FoundationEssentials

/// A message that waits in a retry queue: by what it can be found, and nothing of what it says.
public struct ParkedMessage: Hashable, Sendable {
  /// The same each time the same message is parked.
  public var id: UUID
  /// nil: the message names none.
  public var orgID: UUID?
  public var source: String?
  public var messageID: String?
  /// The source's ids of the message's events.
  public var eventIDs: [String]
  /// The code of the rejection; nil: the message is only postponed.
  public var code: String?
  /// The name of the retry queue's tier.
  public var tier: String
  /// How many attempts have failed.
  public var attempt: Int
  public var receivedAt: Timestamp?
  public var parkedAt: Timestamp
  public var returnsAt: Timestamp

  public init(
    id: UUID, orgID: UUID?, source: String?, messageID: String?, eventIDs: [String], code: String?, tier: String,
    attempt: Int, receivedAt: Timestamp?, parkedAt: Timestamp, returnsAt: Timestamp
  ) {
    self.id = id
    self.orgID = orgID
    self.source = source
    self.messageID = messageID
    self.eventIDs = eventIDs
    self.code = code
    self.tier = tier
    self.attempt = attempt
    self.receivedAt = receivedAt
    self.parkedAt = parkedAt
    self.returnsAt = returnsAt
  }
}

/// Records messages that are about to be parked, so that they can be found.
public protocol ParkedMessageLog: Sendable {
  /// Returns soon, whether or not the messages are recorded: they are parked in any case.
  func record(_ messages: [ParkedMessage]) async
}

/// Keeps what is known of parked messages; implemented by an adapter over a database.
public protocol ParkedMessageStore: Sendable {
  /// Replaces what is known of each message, unless it is newer.
  func store(_ messages: [ParkedMessage]) async throws(StoreError)
  /// Deletes at most `limit` messages that returned long ago.
  /// - Returns: how many there were.
  func forget(limit: Int) async throws(StoreError) -> Int
}
