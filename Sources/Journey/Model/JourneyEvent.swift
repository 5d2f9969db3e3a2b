public import FoundationEssentials

/// Something that happened to a client, in the adapter's own words, whatever source it came from.
///
/// An event is identified by (`orgID`, `source`, `sourceEventID`): any number of deliveries of it count once.
public struct JourneyEvent: Hashable, Sendable {
  public var orgID: UUID
  /// Who says so: the namespace in which `sourceEventID` and the client's external id are unique.
  public var source: String
  public var sourceEventID: String
  public var client: ClientReference
  /// A canonical event type in snake case, e.g. `invoice_overdue`.
  public var type: String
  /// The stage that the event sets, or nil where it leaves the stage as it is.
  public var stage: Stage?
  public var occurredAt: Timestamp
  /// A JSON object, UTF-8.
  public var metadata: [UInt8]

  public init(
    orgID: UUID, source: String, sourceEventID: String, client: ClientReference, type: String, stage: Stage?,
    occurredAt: Timestamp, metadata: [UInt8]
  ) {
    self.orgID = orgID
    self.source = source
    self.sourceEventID = sourceEventID
    self.client = client
    self.type = type
    self.stage = stage
    self.occurredAt = occurredAt
    self.metadata = metadata
  }

  /// The event's place in its client's history.
  public var stamp: EventStamp { EventStamp(at: occurredAt, id: sourceEventID, source: source) }
}

/// The total order of a client's events: by time, ties broken by the source's event id, then by the source,
/// each compared by its UTF-8 bytes. It depends on the events alone, never on their arrival.
public struct EventStamp: Hashable, Comparable, Sendable {
  public var at: Timestamp
  public var id: String
  public var source: String

  public init(at: Timestamp, id: String, source: String) {
    self.at = at
    self.id = id
    self.source = source
  }

  // By bytes, as `<` and the ledger's unique key compare: two ids that Unicode calls equivalent are still two events.
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

/// How an event names its client. At least one of `id` and `externalID` is there.
public struct ClientReference: Hashable, Sendable {
  /// The client's own id, where the event's reference has the form of one. It is looked up first.
  public var id: UUID?
  /// The id by which `JourneyEvent.source` knows the client; looked up among the identities of that source.
  public var externalID: String?
  /// What to create the client from where the mapping allows that and no such client is known.
  public var creation: NewClient?
  /// The address by which a contact of the organisation is looked for that neither id finds; the external id is its own
  /// from then on. nil also where the source does not verify it.
  public var email: String?
  /// Whether the mapping names an address that the source does not verify.
  public var ignoresEmail: Bool
  /// Ids of things of the client (a ticket, a deal), by which later events that name no client find it.
  public var linked: [String]
  /// Other external ids of the same client: they become one with it.
  public var merged: [String]
  public var whenUnknown: UnknownClient

  public init(
    id: UUID? = nil, externalID: String? = nil, creation: NewClient? = nil, email: String? = nil,
    ignoresEmail: Bool = false, linked: [String] = [],
    merged: [String] = [], whenUnknown: UnknownClient = .asSettingsSay
  ) {
    self.id = id
    self.externalID = externalID
    self.creation = creation
    self.email = email
    self.ignoresEmail = ignoresEmail
    self.linked = linked
    self.merged = merged
    self.whenUnknown = whenUnknown
  }
}

/// What becomes of an event whose client is not known and is not to be created.
public enum UnknownClient: String, CaseIterable, Hashable, Sendable {
  /// As `retry.unknownClient` says.
  case asSettingsSay = "default"
  /// It waits in the retry queues, and is a dead letter after the last.
  case retry
  /// It is a dead letter at once.
  case reject
}

/// The contact that a mapping may create for an unknown client.
public struct NewClient: Hashable, Sendable {
  public var name: String?
  public var email: String?
  public var phone: String?
  /// Whether the source makes sure that whoever it knows owns the address. Otherwise no other source's client is found
  /// by it.
  public var isEmailVerified: Bool

  public init(name: String? = nil, email: String? = nil, phone: String? = nil, isEmailVerified: Bool = false) {
    self.name = name
    self.email = email
    self.phone = phone
    self.isEmailVerified = isEmailVerified
  }
}

/// Why an input cannot become an event: an answer for a person, and a code for a filter.
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
    public static let refusedByDatabase = Code(rawValue: "refused_by_database")
  }

  public var code: Code
  /// The field in question, as a JSON path or a header's name.
  public var field: String?
  /// What the field held, shortened to 200 characters and 800 bytes.
  public var value: String?
  /// A sentence without the value.
  public var message: String
  /// Whether to try again, where a rule decides that; nil: by the code, as the settings say.
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
