public import FoundationEssentials

/// The user of a request: the subject of a verified token, with all its claims.
public struct Caller: Hashable, Sendable {
  /// The `sub` claim: the user in the database's policies.
  public var subject: UUID
  /// The token's payload as a JSON object, for the database's policies.
  public var claims: [UInt8]
  /// Whether the caller may use operations.
  public var isOperator: Bool
  /// When the token expires.
  public var expiresAt: Timestamp

  public init(subject: UUID, claims: [UInt8], isOperator: Bool, expiresAt: Timestamp) {
    self.subject = subject
    self.claims = claims
    self.isOperator = isOperator
    self.expiresAt = expiresAt
  }
}

/// The start and size of a page of a list.
public struct PageRequest: Hashable, Sendable {
  /// The keys of the last item of the previous page; nil: the first page.
  public var after: [String]?
  /// 1...200.
  public var limit: Int

  public init(after: [String]? = nil, limit: Int) {
    self.after = after
    self.limit = limit
  }
}

/// The queries for journeys. Each answer is one JSON object, as defined in `contracts/openapi.yaml`.
public enum JourneyQuery: Hashable, Sendable {
  /// The caller and its organisations.
  case caller
  /// A client: its state with the reasons, the first page of its events, its scores and actions.
  case client(UUID)
  /// The client's events, newest first.
  case events(client: UUID, PageRequest)
  /// The next action for a client, and the alternatives.
  case nextAction(client: UUID)
  /// Clients at HIGH or CRITICAL risk, worst first.
  case highRisk(org: UUID?, BoardRequest)
  /// Clients in the stage `upsell_candidate`, best score first.
  case upsell(org: UUID?, BoardRequest)
  /// Clients filtered by a part of their name or e-mail, by stage and by risk; in order of their names.
  case clients(ClientFilter, PageRequest)
  /// Actions, latest first.
  case actions(ActionFilter, PageRequest)
  case action(UUID)
  /// Clients per stage, clients that are stuck, and moves between stages in the last 30 or 90 days.
  case map(org: UUID?, days: Int)
  /// Events, moves and actions per day in the last `days` days.
  case statistics(org: UUID?, days: Int)
}

/// A filter on clients; nil matches all.
public struct ClientFilter: Hashable, Sendable {
  public var orgID: UUID?
  public var text: String?
  public var stage: Stage?
  public var riskLevel: RiskLevel?

  public init(orgID: UUID? = nil, text: String? = nil, stage: Stage? = nil, riskLevel: RiskLevel? = nil) {
    self.orgID = orgID
    self.text = text
    self.stage = stage
    self.riskLevel = riskLevel
  }
}

/// A filter on actions; nil matches all.
public struct ActionFilter: Hashable, Sendable {
  public var orgID: UUID?
  public var clientID: UUID?
  public var state: ActionState?
  public var channel: Channel?
  /// Whether to leave out what has ended or expired, and what was decided more than 180 days ago.
  public var isOpen: Bool

  public init(
    orgID: UUID? = nil, clientID: UUID? = nil, state: ActionState? = nil, channel: Channel? = nil, isOpen: Bool = false
  ) {
    self.orgID = orgID
    self.clientID = clientID
    self.state = state
    self.channel = channel
    self.isOpen = isOpen
  }
}

/// Reads journeys for a caller. The database decides what the caller may see.
public protocol JourneyReader: Sendable {
  /// - Returns: one JSON object; nil if the item does not exist or the caller may not see it. The two cases look the
  ///   same on purpose.
  func read(_ query: JourneyQuery, for caller: Caller) async throws(StoreError) -> [UInt8]?
  /// The organisations that the caller is a member of.
  func organizations(of caller: Caller) async throws(StoreError) -> Set<UUID>
  /// The organisation of a client; nil if the caller may not see it.
  func organization(ofClient client: UUID, for caller: Caller) async throws(StoreError) -> UUID?
  /// An action; nil if the caller may not see it.
  func action(_ id: UUID, for caller: Caller) async throws(StoreError) -> StandingAction?
}

/// An event that a caller reports.
public struct ReportedEvent: Hashable, Sendable {
  public var id: UUID
  public var orgID: UUID
  public var clientID: UUID
  public var type: String
  /// The event as a JSON object in the adapter's own format.
  public var body: [UInt8]

  public init(id: UUID, orgID: UUID, clientID: UUID, type: String, body: [UInt8]) {
    self.id = id
    self.orgID = orgID
    self.clientID = clientID
    self.type = type
    self.body = body
  }
}

/// Accepts reported events. They are published to the broker and processed like any other event.
public protocol EventIntake: Sendable {
  /// - Throws: why the event is not acceptable.
  func check(_ event: ReportedEvent) throws(Rejection)
  /// - Throws: `IntakeError`. After `.unavailable` the event may have been published: report it again with the same id.
  func publish(_ event: ReportedEvent) async throws(IntakeError)
}

public enum IntakeError: Error, Hashable, Sendable {
  /// The event is not acceptable.
  case refused(Rejection)
  /// The broker did not confirm the event in time.
  case unavailable(String)
}
