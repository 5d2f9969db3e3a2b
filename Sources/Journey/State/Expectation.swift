public import FoundationEssentials

/// A silence contract: after an event of one of some types another one is expected within a time. If none comes, the
/// adapter itself stores an event. Source: `expectations` in `config/decisions.yaml`.
public struct SilenceContract: Hashable, Sendable {
  /// The source of the events that the adapter stores because nothing came. Nobody else may report events of it.
  public static let source = "journey.silence"

  /// The type of the event that is stored if nothing comes. Also the name of the contract: no two have the same.
  public var otherwise: String
  /// The event types that open it.
  public var after: Set<String>
  /// The event types that settle it.
  public var expected: Set<String>
  /// The member of the metadata that both events have in common; nil: any event of the client settles it.
  public var same: String?
  public var within: TimeSpan

  public init(
    otherwise: String, after: Set<String>, expected: Set<String>, same: String? = nil, within: TimeSpan
  ) {
    self.otherwise = otherwise
    self.after = after
    self.expected = expected
    self.same = same
    self.within = within
  }

  /// How long a contract is remembered after it was settled or fired, and how late the adapter still fires.
  public static let memory = TimeSpan.days(90)

  /// The moment from which nothing depends any more on an event of the time `at`.
  public func forgottenAt(_ at: Timestamp) -> Timestamp { at + within + Self.memory }
}

/// What is known of one contract with a client, and of one thing if the contract names a key. It follows from the events
/// alone, in whatever order they come.
public struct ExpectationState: Hashable, Sendable {
  /// The times of opening events that nothing has settled, the earliest first: at most `limit`.
  public private(set) var openings: [Timestamp]
  public private(set) var settledAt: Timestamp?
  /// The opening event for which the adapter last stored that nothing came.
  public private(set) var firedFor: Timestamp?

  /// The earliest is always kept, and of the others the latest.
  public static let limit = 8

  public init(openings: [Timestamp] = [], settledAt: Timestamp? = nil, firedFor: Timestamp? = nil) {
    self.openings = openings
    self.settledAt = settledAt
    self.firedFor = firedFor
  }

  /// Takes over what another state of the same contract says. Commutative, associative and idempotent, as long as no
  /// more than `limit` openings are unsettled.
  public mutating func merge(_ other: ExpectationState, under contract: SilenceContract) {
    settledAt = max(settledAt, other.settledAt)
    firedFor = max(firedFor, other.firedFor)
    let floor = max(settledAt, contract.same == nil ? firedFor.map { $0 + contract.within } : nil)
    openings = Set(openings + other.openings).filter { opening in floor.map { opening > $0 } ?? true }.sorted()
    if openings.count > Self.limit { openings.removeSubrange(1...(openings.count - Self.limit)) }
  }

  /// When the event occurred after which another one is still expected; nil: none is.
  ///
  /// Of one thing (an invoice) it is said once that nothing came, until it is settled. Where the contract names no key,
  /// a later event opens it again.
  public func openedAt(under contract: SilenceContract) -> Timestamp? {
    if contract.same != nil, let firedFor, settledAt.map({ firedFor > $0 }) ?? true { return nil }
    return openings.first
  }

  /// The moment from which nothing depends on this any more.
  public func forgottenAt(under contract: SilenceContract) -> Timestamp? {
    max(max(openings.last, settledAt), firedFor).map(contract.forgottenAt)
  }

  private func max(_ a: Timestamp?, _ b: Timestamp?) -> Timestamp? {
    guard let a, let b else { return a ?? b }
    return Swift.max(a, b)
  }
}

/// Finds what events mean for the contracts. A class, because every event uses it and it never changes.
public final class ExpectationReader: Sendable {
  /// What an event says about one contract.
  public struct Sign: Hashable, Sendable {
    public var contract: SilenceContract
    /// The value of the contract's key; empty if it has none.
    public var key: String
    public var state: ExpectationState
  }

  private enum Role { case opens, settles, fires }

  public let contracts: [String: SilenceContract]
  private let roles: [String: [(contract: SilenceContract, role: Role)]]

  public init(_ contracts: [SilenceContract]) {
    var roles: [String: [(contract: SilenceContract, role: Role)]] = [:]
    for contract in contracts {
      for type in contract.after { roles[type, default: []].append((contract, .opens)) }
      for type in contract.expected { roles[type, default: []].append((contract, .settles)) }
      roles[contract.otherwise, default: []].append((contract, .fires))
    }
    self.roles = roles
    self.contracts = Dictionary(contracts.map { ($0.otherwise, $0) }, uniquingKeysWith: { first, _ in first })
  }

  public var isEmpty: Bool { contracts.isEmpty }
  /// The event types that any contract names, sorted.
  public var types: [String] { roles.keys.sorted() }

  /// In bytes. An event with a longer key is passed over: it would not fit the index.
  public static let maxKeyLength = 512

  /// What an event says. Costs one lookup if no contract names its type.
  /// - Parameters:
  ///   - isVoided: a voided event opens and settles nothing. But what was stored because nothing came is not stored
  ///     again.
  ///   - now: what occurred too long before is passed over.
  public func signs(of event: JourneyEvent, isVoided: Bool = false, at now: Timestamp) -> [Sign] {
    guard let found = roles[event.type], let metadata = (try? JSONDocument(parsing: event.metadata))?.root else {
      return []
    }
    return found.compactMap { contract, role in
      guard let key = key(of: contract, in: metadata) else { return nil }
      let state: ExpectationState
      switch role {
      case .opens: state = ExpectationState(openings: [event.occurredAt])
      case .settles: state = ExpectationState(settledAt: event.occurredAt)
      case .fires:
        guard event.source == SilenceContract.source, let text = metadata[Self.openedAt]?.string,
          let opening = Timestamp(iso8601: text)
        else { return nil }
        state = ExpectationState(firedFor: opening)
      }
      guard role == .fires || !isVoided, contract.forgottenAt(event.occurredAt) > now else { return nil }
      return Sign(contract: contract, key: key, state: state)
    }
  }

  private func key(of contract: SilenceContract, in metadata: JSONValue) -> String? {
    guard let same = contract.same else { return "" }
    guard let value = metadata[same], let key = value.string ?? value.numberText else { return nil }
    return (1...Self.maxKeyLength).contains(key.utf8.count) ? key : nil
  }

  /// The members of the metadata of an event that says that nothing came, besides the contract's key.
  public static let members = [openedAt, openedBy, within]
  private static let openedAt = "openedAt", openedBy = "openedBy", within = "within"

  /// The event that says that nothing came. Always the same for the same opening event.
  /// - Parameter opening: the opening event.
  public func event(
    _ contract: SilenceContract, key: String, clientID: UUID, after opening: (at: Timestamp, event: JourneyEvent)
  ) -> JourneyEvent {
    var json = JSONWriter(reservingCapacity: 256)
    json.beginObject()
    if let same = contract.same { json.member(same, key) }
    json.member(Self.within, contract.within.text)
    json.key(Self.openedAt)
    json.time(opening.at)
    json.key(Self.openedBy)
    json.beginObject()
    json.member("source", opening.event.source)
    json.member("id", opening.event.sourceEventID)
    json.member("type", opening.event.type)
    json.endObject()
    json.endObject()
    let id = [contract.otherwise, clientID.text, opening.at.iso8601, key].joined(separator: ":")
    return JourneyEvent(
      orgID: opening.event.orgID, source: SilenceContract.source, sourceEventID: id,
      client: ClientReference(id: clientID), type: contract.otherwise, stage: nil, actor: .system,
      occurredAt: opening.at + contract.within, metadata: json.bytes)
  }
}
