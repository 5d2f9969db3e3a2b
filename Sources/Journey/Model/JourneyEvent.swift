public import FoundationEssentials

/// A canonical event: something that happened to a client, independent of the source's format.
///
/// (`orgID`, `source`, `sourceEventID`) identifies an event: repeated deliveries count once.
public struct JourneyEvent: Hashable, Sendable {
  public var orgID: UUID
  /// The namespace of `sourceEventID` and of the client's external id.
  public var source: String
  public var sourceEventID: String
  public var client: ClientReference
  /// A canonical event type in snake case, e.g. `invoice_overdue`.
  public var type: String
  /// The stage that the event sets; nil: unchanged.
  public var stage: Stage?
  /// The stage to which the event raises a client that is before it. Used only if `stage` is nil.
  public var minStage: Stage?
  /// Who acted, if the mapping says so; nil: as the type says.
  public var actor: Actor?
  public var occurredAt: Timestamp
  /// A JSON object in UTF-8.
  public var metadata: [UInt8]

  public init(
    orgID: UUID, source: String, sourceEventID: String, client: ClientReference, type: String, stage: Stage?,
    minStage: Stage? = nil, actor: Actor? = nil, occurredAt: Timestamp, metadata: [UInt8]
  ) {
    self.minStage = minStage
    self.actor = actor
    self.orgID = orgID
    self.source = source
    self.sourceEventID = sourceEventID
    self.client = client
    self.type = type
    self.stage = stage
    self.occurredAt = occurredAt
    self.metadata = metadata
  }

  /// The event's position in its client's history.
  public var stamp: EventStamp { EventStamp(at: occurredAt, id: sourceEventID, source: source) }
}

/// The total order of a client's events: by time, then by the source's event id, then by source, comparing UTF-8 bytes.
/// It depends only on the events, not on their arrival.
public struct EventStamp: Hashable, Comparable, Sendable {
  public var at: Timestamp
  public var id: String
  public var source: String

  public init(at: Timestamp, id: String, source: String) {
    self.at = at
    self.id = id
    self.source = source
  }

  // By bytes, like `<` and the event store's unique key: ids that are canonically equivalent in Unicode are different
  // events.
  public static func == (a: EventStamp, b: EventStamp) -> Bool {
    a.at == b.at && a.id.hasSameBytes(as: b.id) && a.source.hasSameBytes(as: b.source)
  }

  // `String` hashes equivalent ids alike, so equal stamps have equal hashes.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(at)
    hasher.combine(id)
    hasher.combine(source)
  }

  public static func < (a: EventStamp, b: EventStamp) -> Bool {
    if a.at != b.at { return a.at < b.at }
    if !a.id.hasSameBytes(as: b.id) { return a.id.precedesByBytes(b.id) }
    return a.source.precedesByBytes(b.source)
  }
}

/// How an event refers to its client. At least one of `id`, `externalID` and `group` is set.
public struct ClientReference: Hashable, Sendable {
  /// The client's own id, if the reference is a UUID. Looked up first.
  public var id: UUID?
  /// The client's id in `JourneyEvent.source`, looked up among the identities of that source.
  public var externalID: String?
  /// Further ids of the client in `JourneyEvent.source`, or its own, in order: the first of all that is known identifies
  /// the client. If none is known, `id` and `externalID` do.
  public var alternatives: [String]
  /// The company, account, household or mailbox, named by its id in `JourneyEvent.source`. The client becomes a member
  /// of it. Never an id of a client.
  public var group: String?
  /// The fields for creating an unknown client; nil if the mapping does not allow it.
  public var creation: NewClient?
  /// The address for finding a contact of the organisation if neither id is known. The external id is then linked to
  /// it. nil if the source does not verify addresses.
  public var email: String?
  /// Whether the mapping has an address that the source does not verify.
  public var ignoresEmail: Bool
  /// Ids of the client's objects (a ticket, a deal), by which later events without a client id find the client.
  public var linked: [String]
  /// Other external ids of the same client; they are merged into it.
  public var merged: [String]
  public var whenUnknown: UnknownClient

  public init(
    id: UUID? = nil, externalID: String? = nil, creation: NewClient? = nil, email: String? = nil,
    ignoresEmail: Bool = false, alternatives: [String] = [], group: String? = nil, linked: [String] = [],
    merged: [String] = [], whenUnknown: UnknownClient = .asSettingsSay
  ) {
    self.id = id
    self.externalID = externalID
    self.alternatives = alternatives
    self.group = group
    self.creation = creation
    self.email = email
    self.ignoresEmail = ignoresEmail
    self.linked = linked
    self.merged = merged
    self.whenUnknown = whenUnknown
  }

  /// Whether the event names no client, only a group.
  public var namesOnlyGroup: Bool { id == nil && externalID == nil }
}

/// What to do with an event whose client is unknown and not to be created.
public enum UnknownClient: String, CaseIterable, Hashable, Sendable {
  /// As configured by `retry.unknownClient`.
  case asSettingsSay = "default"
  /// The message waits in the retry queues, and becomes a dead letter after the last.
  case retry
  /// The message becomes a dead letter at once.
  case reject
  /// The event is passed by: only clients that are known matter here.
  case ignore
}

/// The contact to create for an unknown client.
public struct NewClient: Hashable, Sendable {
  public var name: String?
  public var email: String?
  public var phone: String?
  /// Whether the source verifies that the client owns the address. An unverified address is not matched against clients
  /// of other sources.
  public var isEmailVerified: Bool

  public init(name: String? = nil, email: String? = nil, phone: String? = nil, isEmailVerified: Bool = false) {
    self.name = name
    self.email = email
    self.phone = phone
    self.isEmailVerified = isEmailVerified
  }
}

/// Why an input cannot become an event: a message for people and a code for filters.
public struct Rejection: Error, Hashable, Sendable, CustomStringConvertible {
  /// A stable, low-cardinality name in snake case.
  public struct Code: RawRepresentable, Hashable, Sendable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    public static let malformed = Code(rawValue: "malformed")
    public static let unsupportedContentType = Code(rawValue: "unsupported_content_type")
    public static let tooLarge = Code(rawValue: "too_large")
    public static let missingField = Code(rawValue: "missing_field")
    public static let invalidField = Code(rawValue: "invalid_field")
    public static let unknownSource = Code(rawValue: "unknown_source")
    public static let unknownType = Code(rawValue: "unknown_type")
    public static let unknownOrganization = Code(rawValue: "unknown_organization")
    public static let unknownClient = Code(rawValue: "unknown_client")
    public static let ambiguousClient = Code(rawValue: "ambiguous_client")
    public static let foreignClient = Code(rawValue: "foreign_client")
    /// The publisher may not report events of this source or organisation.
    public static let forbiddenPublisher = Code(rawValue: "forbidden_publisher")
    /// A report of an action that there is not, that belongs to another organisation, or that cannot be.
    public static let unknownAction = Code(rawValue: "unknown_action")
    public static let foreignAction = Code(rawValue: "foreign_action")
    public static let refusedOutcome = Code(rawValue: "refused_outcome")
    public static let refusedByDatabase = Code(rawValue: "refused_by_database")

    public static let all: [Code] = [
      malformed, unsupportedContentType, tooLarge, missingField, invalidField, unknownSource, unknownType,
      unknownOrganization, unknownClient, ambiguousClient, foreignClient, forbiddenPublisher, unknownAction,
      foreignAction, refusedOutcome, refusedByDatabase,
    ]
  }

  public var code: Code
  /// The JSON path of the field, or the name of a header.
  public var field: String?
  /// The field's value, shortened to 200 characters and 800 bytes.
  public var value: String?
  /// A sentence that does not contain the value.
  public var message: String
  /// Whether to retry, if a rule decides; nil: decided by the code and the settings.
  public var isRetried: Bool?

  public init(_ code: Code, field: String? = nil, value: String? = nil, isRetried: Bool? = nil, _ message: String) {
    self.code = code
    self.isRetried = isRetried
    self.field = field
    self.value = value?.shortened(to: 200)
    self.message = message
  }

  public var description: String {
    var text = message
    if let field { text = "\(field): \(text)" }
    if let value { text += " (value: \(value))" }
    return text
  }
}
