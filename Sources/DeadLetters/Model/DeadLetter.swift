public import FoundationEssentials
public import Journey

/// A message as it was first published, kept so that it can be published again.
///
/// Properties and headers are JSON in the adapter's own lossless form, independent of AMQP.
public struct OriginalMessage: Hashable, Sendable {
  public var exchange: String
  public var routingKey: String
  public var messageID: String?
  public var contentType: String?
  /// A JSON object.
  public var properties: [UInt8]
  /// A JSON array of `{"name", "type", "value"}`, sorted by name, without the headers of broker and adapter, and
  /// without credentials.
  public var headers: [UInt8]
  /// The names of headers that are dropped because they carry credentials.
  public var redactedHeaders: [String] = []
  /// The whole body, or its beginning if the archive or the query has cut it.
  public var body: [UInt8]
  /// In bytes, as sent.
  public var bodySize: Int
  /// The SHA-256 of the whole body, if the archive has only its beginning.
  public var bodyDigest: [UInt8]?

  /// Whether the archive has only the beginning of the body.
  public var isCut: Bool { bodyDigest != nil }
}

/// A message that could not be applied, and why, as it arrives in the archive.
public struct DeadLetter: Hashable, Sendable {
  public var message: OriginalMessage
  public var orgID: UUID?
  public var source: String?
  public var type: String?
  /// The code of the reason, a rejection's or the broker's.
  public var code: String
  /// All reasons, one per line.
  public var reason: String
  public var field: String?
  public var value: String?
  /// How many attempts there were, at least 1.
  public var attempts: Int
  public var firstFailedAt: Timestamp
  public var failedAt: Timestamp
  /// How often it had been replayed when it failed.
  public var replayCount: Int
  /// The dead letter from which this message was edited.
  public var causedBy: UUID?
  /// The dead letter that a replay has published as this message, if the message names one. Not stored.
  public var replayOf: UUID?
}

/// The state of a dead letter.
public enum DeadLetterState: String, Hashable, Sendable, CaseIterable {
  /// Open: waits for an operator.
  case new
  /// Claimed by a replay that is under way or was interrupted.
  case replaying
  /// Published again, and confirmed by the broker.
  case replayed
  case discarded
}

/// A dead letter in the archive.
public struct ArchivedDeadLetter: Hashable, Sendable {
  public var id: UUID
  public var deadLetter: DeadLetter
  public var state: DeadLetterState
  /// How often in a row it failed with the same code in the same field.
  public var sameFailures: Int
  public var receivedAt: Timestamp
  public var settledAt: Timestamp?
  public var replayID: Int?
}

/// Selects dead letters. Conditions that are nil do not apply.
public struct DeadLetterFilter: Hashable, Sendable {
  /// Empty: any.
  public var ids: [UUID] = []
  /// Empty: any.
  public var states: [DeadLetterState] = []
  public var code: String?
  public var source: String?
  public var type: String?
  public var orgID: UUID?
  /// The latest failure at this time or later.
  public var since: Timestamp?
  /// The latest failure before this time.
  public var until: Timestamp?
  /// Occurs in the reason or the value, ignoring case, or byte for byte in the body, the message id or the routing key.
  public var text: String?

  public init() {}
}
