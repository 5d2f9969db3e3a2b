public import FoundationEssentials
public import Journey

/// A message as it was first published, kept so that it can be published again.
///
/// Properties and headers are JSON in the adapter's own lossless form: this room knows no AMQP.
public struct OriginalMessage: Hashable, Sendable {
  public var exchange: String
  public var routingKey: String
  public var messageID: String?
  public var contentType: String?
  /// A JSON object.
  public var properties: [UInt8]
  /// A JSON array of `{"name", "type", "value"}`, by name, without what broker and adapter added on the way, and
  /// without credentials.
  public var headers: [UInt8]
  /// The names of headers that are not kept, since they carry credentials.
  public var redactedHeaders: [String]
  /// The whole, or its beginning where it is cut or only part of it was asked for.
  public var body: [UInt8]
  /// Bytes, as sent.
  public var bodySize: Int
  /// The SHA-256 of the whole body, where the archive has only its beginning.
  public var bodyDigest: [UInt8]?

  /// Whether the archive has only the beginning of the body.
  public var isCut: Bool { bodyDigest != nil }

  public init(
    exchange: String, routingKey: String, messageID: String?, contentType: String?, properties: [UInt8],
    headers: [UInt8],
    redactedHeaders: [String] = [], body: [UInt8], bodySize: Int, bodyDigest: [UInt8]? = nil
  ) {
    self.exchange = exchange
    self.routingKey = routingKey
    self.messageID = messageID
    self.contentType = contentType
    self.properties = properties
    self.headers = headers
    self.redactedHeaders = redactedHeaders
    self.body = body
    self.bodySize = bodySize
    self.bodyDigest = bodyDigest
  }
}

/// A message that could not be applied, and why, as it arrives in the archive.
public struct DeadLetter: Hashable, Sendable {
  public var message: OriginalMessage
  public var orgID: UUID?
  public var source: String?
  public var type: String?
  /// A word to filter by: a rejection's code or the broker's.
  public var code: String
  /// All reasons, a line each.
  public var reason: String
  public var field: String?
  public var value: String?
  /// How often it was tried. From 1.
  public var attempts: Int
  public var firstFailedAt: Timestamp
  public var failedAt: Timestamp
  /// How often it had been replayed when it failed.
  public var replayCount: Int
  /// The letter from which this message was edited.
  public var causedBy: UUID?
  /// The letter that a replay has published as this message, where the message says so. Not kept.
  public var replayOf: UUID?

  public init(
    message: OriginalMessage, orgID: UUID?, source: String?, type: String?, code: String, reason: String,
    field: String?, value: String?,
    attempts: Int, firstFailedAt: Timestamp, failedAt: Timestamp, replayCount: Int, causedBy: UUID?,
    replayOf: UUID? = nil
  ) {
    self.message = message
    self.orgID = orgID
    self.source = source
    self.type = type
    self.code = code
    self.reason = reason
    self.field = field
    self.value = value
    self.attempts = attempts
    self.firstFailedAt = firstFailedAt
    self.failedAt = failedAt
    self.replayCount = replayCount
    self.causedBy = causedBy
    self.replayOf = replayOf
  }
}

/// Where a letter stands.
public enum DeadLetterState: String, Hashable, Sendable, CaseIterable {
  /// Waits for a person.
  case new
  /// A replay has taken it: it is being published, or was when the replay was cut off.
  case replaying
  /// Published again, and confirmed by the broker.
  case replayed
  case discarded
}

/// A letter in the archive.
public struct ArchivedDeadLetter: Hashable, Sendable {
  public var id: UUID
  public var deadLetter: DeadLetter
  public var state: DeadLetterState
  /// How often in a row it failed with the same code in the same field.
  public var sameFailures: Int
  public var receivedAt: Timestamp
  public var settledAt: Timestamp?
  public var replayID: Int?

  public init(
    id: UUID, deadLetter: DeadLetter, state: DeadLetterState, sameFailures: Int, receivedAt: Timestamp,
    settledAt: Timestamp?,
    replayID: Int?
  ) {
    self.id = id
    self.deadLetter = deadLetter
    self.state = state
    self.sameFailures = sameFailures
    self.receivedAt = receivedAt
    self.settledAt = settledAt
    self.replayID = replayID
  }
}

/// Which letters are meant. Parts that are nil do not narrow it.
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
  /// Stands in the reason or the value in any case, or byte for byte in the body, the message's id or the routing key.
  public var text: String?

  public init() {}
}
