public import FoundationEssentials

/// One message as input of the mapping engine.
public struct MappingInput {
  public var document: JSONDocument
  /// The text of a header; nil if it is absent. Names are looked up as written in the mapping.
  public var header: (String) -> String?
  public var messageID: String?
  /// The message's timestamp property.
  public var timestamp: Timestamp?
  /// When the adapter first received the message. A retry keeps the time of its first attempt.
  public var received: Timestamp
  /// The message's `type`, `app_id` and routing key, for mappings that refer to them.
  public var type: String?
  public var appID: String?
  public var routingKey: String?
  /// The organisation from the `x-org-id` header, if the caller has already read it. The mapping's own `org` paths must
  /// not name another.
  public var orgID: UUID?
  /// Whether elements that the vendor marks as a test are mapped like others.
  public var takesTestTraffic = false
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

/// The limits of an event. An event beyond a limit is rejected with the field and its value.
public struct EventLimits: Hashable, Sendable {
  public var now: Timestamp
  /// An earlier event indicates a wrong clock or unit.
  public var earliest: Timestamp
  /// How far a source's clock may be ahead.
  public var maxFuture: TimeSpan
  /// Characters per id, type, source, client reference, and a new client's name, e-mail or phone.
  public var maxTextLength: Int
  /// UTF-8 bytes of such a text: four per character. An index of the database holds two of them.
  var maxTextBytes: Int { 4 * maxTextLength }
  /// In bytes.
  public var maxMetadataBytes: Int
  /// Events per body. A larger body is rejected as a whole, because each event takes memory until it is settled.
  public var maxElements: Int

  public init(
    now: Timestamp, earliest: Timestamp = .startOf2000, maxFuture: TimeSpan = .hours(24),
    maxTextLength: Int = 256,
    maxMetadataBytes: Int = 64 << 10, maxElements: Int = 10_000
  ) {
    self.now = now
    self.earliest = earliest
    self.maxFuture = maxFuture
    self.maxTextLength = maxTextLength
    self.maxMetadataBytes = maxMetadataBytes
    self.maxElements = maxElements
  }
}

extension Timestamp {
  /// 2000-01-01T00:00:00Z
  public static let startOf2000 = Timestamp(seconds: 946_684_800)
}

/// The result for one element of a body.
public enum MappingOutcome: Hashable, Sendable {
  case event(JourneyEvent)
  /// Ignored by a rule, with the reason.
  case ignored(rule: String, reason: String)
  /// No rule names the element's type.
  case unlisted(type: String)
  /// - Parameter element: the element's position in the body, from 0.
  case rejected(Rejection, element: Int)
}

/// One outcome per element of a body, in order; never empty.
public struct MappingResult: Hashable, Sendable {
  public var outcomes: [MappingOutcome]
  /// The signals of the events among the outcomes, in order; empty if not requested.
  public var signals: [Signals]

  public init(outcomes: [MappingOutcome], signals: [Signals] = []) {
    self.outcomes = outcomes
    self.signals = signals
  }
}
