public import FoundationEssentials

/// One message, as the mapping engine sees it.
public struct MappingInput {
  public var document: JSONDocument
  /// The value of a header as text, or nil where the message has no such header. Names are looked up as the mapping
  /// writes them.
  public var header: (String) -> String?
  public var messageID: String?
  /// The message's own timestamp property, set by its publisher.
  public var timestamp: Timestamp?
  /// When the adapter first took the message from the queue: of a message that was tried before, when it was first
  /// tried.
  public var received: Timestamp
  /// The message's `type`, `app_id` and routing key, for mappings that refer to them.
  public var type: String?
  public var appID: String?
  public var routingKey: String?
  /// The organisation that the message's envelope names (header `x-org-id`), where the caller has read it already. The
  /// mapping's own `org` paths must not name another.
  public var orgID: UUID?
  public var limits: EventLimits

  public init(
    document: JSONDocument, header: @escaping (String) -> String? = { _ in nil }, messageID: String? = nil,
    timestamp: Timestamp? = nil, received: Timestamp? = nil, type: String? = nil, appID: String? = nil,
    routingKey: String? = nil, orgID: UUID? = nil,
    limits: EventLimits
  ) {
    self.document = document
    self.header = header
    self.messageID = messageID
    self.timestamp = timestamp
    self.received = received ?? limits.now
    self.type = type
    self.appID = appID
    self.routingKey = routingKey
    self.orgID = orgID
    self.limits = limits
  }
}

/// What an event may hold at most. An event beyond it is rejected with the field and its value.
public struct EventLimits: Hashable, Sendable {
  public var now: Timestamp
  /// An event before this is a broken clock or a wrong unit, not a client's history.
  public var earliest: Timestamp
  /// How far a source's clock may run ahead.
  public var maximumFuture: TimeSpan
  /// Characters in an id, a type, a source, a client's reference or a new client's name, e-mail or phone.
  public var maximumTextLength: Int
  /// Bytes of such a text in UTF-8: four a character. An index of the database holds two of them.
  var maximumTextBytes: Int { 4 * maximumTextLength }
  /// Bytes of metadata.
  public var maximumMetadataBytes: Int
  /// Events in one body. A body with more is rejected as a whole, since each of them costs memory until it is settled.
  public var maximumElements: Int

  public init(
    now: Timestamp, earliest: Timestamp = .startOf2000, maximumFuture: TimeSpan = .hours(24),
    maximumTextLength: Int = 256,
    maximumMetadataBytes: Int = 64 << 10, maximumElements: Int = 10_000
  ) {
    self.now = now
    self.earliest = earliest
    self.maximumFuture = maximumFuture
    self.maximumTextLength = maximumTextLength
    self.maximumMetadataBytes = maximumMetadataBytes
    self.maximumElements = maximumElements
  }
}

extension Timestamp {
  /// 2000-01-01T00:00:00Z
  public static let startOf2000 = Timestamp(seconds: 946_684_800)
}

/// What became of one element of a body.
public enum MappingOutcome: Hashable, Sendable {
  case event(JourneyEvent)
  /// A rule says that this means nothing for a journey, and why.
  case ignored(rule: String, reason: String)
  /// - Parameter element: the position of the element in a body that holds many events, from 0.
  case rejected(Rejection, element: Int)
}

/// One outcome for every element of a body, in the body's order; never empty.
public struct MappingResult: Hashable, Sendable {
  public var outcomes: [MappingOutcome]
  /// Of the events among the outcomes, in their order; empty where they were not asked for.
  public var signals: [Signals]

  public init(outcomes: [MappingOutcome], signals: [Signals] = []) {
    self.outcomes = outcomes
    self.signals = signals
  }
}
