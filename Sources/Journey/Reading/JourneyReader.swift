public import FoundationEssentials

/// For whom something is read or done: the subject of a verified token, with all its claims.
public struct Caller: Hashable, Sendable {
  /// `sub`: the user, as policies of the database know it.
  public var subject: UUID
  /// The token's payload, a JSON object: what the database's policies see.
  public var claims: [UInt8]
  /// Whether operations are open to the caller.
  public var isOperator: Bool
  /// When the token ends.
  public var expiresAt: Timestamp

  public init(subject: UUID, claims: [UInt8], isOperator: Bool, expiresAt: Timestamp) {
    self.subject = subject
    self.claims = claims
    self.isOperator = isOperator
    self.expiresAt = expiresAt
  }
}

/// Where in a list a page begins, and how much of it is wanted.
public struct PageRequest: Hashable, Sendable {
  /// The keys of the last item of the page before, as that page named them; nil: from the start.
  public var after: [String]?
  /// 1...200.
  public var limit: Int

  public init(after: [String]? = nil, limit: Int) {
    self.after = after
    self.limit = limit
  }
}

/// What can be read of journeys. Each answer is one JSON object, laid out as `contracts/openapi.yaml` says.
public enum JourneyQuery: Hashable, Sendable {
  /// The caller and the organisations of which it is a member.
  case caller
  /// One client: how it stands and why, the beginning of its journey, its scores and actions.
  case client(UUID)
  /// The client's events, the newest first.
  case events(client: UUID, PageRequest)
  /// What should be done next for a client, and what else was considered.
  case nextAction(client: UUID)
  /// Clients at HIGH or CRITICAL risk, the worst first.
  case highRisk(org: UUID?, BoardRequest)
  /// Clients in the stage `upsell_candidate`, the best score first.
  case upsell(org: UUID?, BoardRequest)
  /// Clients by a part of their name or e-mail, by stage and by risk; by name.
  case clients(ClientFilter, PageRequest)
  /// Actions, the latest first.
  case actions(ActionFilter, PageRequest)
  case action(UUID)
  /// The map: clients a stage, those who are stuck, and the moves between stages of the last 30 or 90 days.
  case map(org: UUID?, days: Int)
  /// Events, moves and actions a day, of the last `days` days.
  case statistics(org: UUID?, days: Int)
}

/// Parts that are nil do not narrow it.
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

/// Parts that are nil do not narrow it.
public struct ActionFilter: Hashable, Sendable {
  public var orgID: UUID?
  public var clientID: UUID?
  public var state: ActionState?

  public init(orgID: UUID? = nil, clientID: UUID? = nil, state: ActionState? = nil) {
    self.orgID = orgID
    self.clientID = clientID
    self.state = state
  }
}

/// Reads journeys for a caller: an adapter over a database that itself decides what the caller may see.
public protocol JourneyReader: Sendable {
  /// - Returns: one JSON object; nil where what is asked for does not exist or is not the caller's, which look alike on
  ///   purpose.
  func read(_ query: JourneyQuery, for caller: Caller) async throws(StoreError) -> [UInt8]?
  /// The organisations of which the caller is a member.
  func organizations(of caller: Caller) async throws(StoreError) -> Set<UUID>
  /// The organisation of a client that the caller may see; nil otherwise.
  func organization(ofClient client: UUID, for caller: Caller) async throws(StoreError) -> UUID?
}

/// An event that a caller reports.
public struct ReportedEvent: Hashable, Sendable {
  public var id: UUID
  public var orgID: UUID
  public var clientID: UUID
  public var type: String
  /// The event as a JSON object, in the adapter's own form.
  public var body: [UInt8]

  public init(id: UUID, orgID: UUID, clientID: UUID, type: String, body: [UInt8]) {
    self.id = id
    self.orgID = orgID
    self.clientID = clientID
    self.type = type
    self.body = body
  }
}

/// Where reported events go: an adapter over the broker. They take the same way as every other event.
public protocol EventIntake: Sendable {
  /// - Throws: why the event cannot be used.
  func check(_ event: ReportedEvent) throws(Rejection)
  /// - Throws: `IntakeError`. After `.unavailable` the event may or may not be on its way: report it again under the
  ///   same id.
  func publish(_ event: ReportedEvent) async throws(IntakeError)
}

public enum IntakeError: Error, Hashable, Sendable {
  /// The event cannot be used, for this reason.
  case refused(Rejection)
  /// The broker has not confirmed it in time.
  case unavailable(String)
}
