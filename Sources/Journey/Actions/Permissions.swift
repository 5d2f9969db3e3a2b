public import FoundationEssentials

extension ActionHistory {
  /// Do not contact: a channel on which the client cannot be reached, or does not want to be. Of each cause there is one
  /// at most, the latest.
  public struct Block: Hashable, Sendable {
    public enum Cause: Character, CaseIterable, Sendable {
      case unsubscribed = "u"
      /// An event says that the client wants no more of it.
      case event = "e"
      /// A person has recorded it.
      case person = "p"
      case bounced = "b"
    }

    public var channel: Channel
    /// nil: an earlier version, which did not store it, has learned it from an outcome.
    public var cause: Cause?
    /// The action whose outcome said so, the consent record of the person, or the row of the event.
    public var id: UUID
    public var at: Timestamp

    public init(channel: Channel, cause: Cause?, id: UUID, at: Timestamp) {
      self.channel = channel
      self.cause = cause
      self.id = id
      self.at = at
    }

    /// Whether it is the client's wish, and not that nothing arrives.
    public var isWish: Bool { cause != .bounced && cause != nil }

    /// A wish comes before a fact, and what a person has recorded before what was reported.
    fileprivate var place: Int {
      switch cause {
      case .person: 0
      case .unsubscribed: 1
      case .event: 2
      case .bounced: 3
      case nil: 4
      }
    }

    fileprivate func precedes(_ other: Block) -> Bool {
      (channel.rawValue, place) < (other.channel.rawValue, other.place)
    }
  }

  /// From when on a channel is free again, as a person has recorded: what was known of it before no longer counts.
  public struct Lift: Hashable, Sendable {
    public var channel: Channel
    /// Whether it lifts the wish, or that nothing arrives.
    public var isOfWish: Bool
    public var at: Timestamp
  }

  /// What the client has consented to on a channel, or does no longer.
  public struct Consent: Hashable, Sendable {
    public var channel: Channel
    public var purpose: String
    public var isGranted: Bool
    /// The consent record.
    public var id: UUID
    public var at: Timestamp
    /// nil: it does not expire.
    public var expiresAt: Timestamp?

    public init(
      channel: Channel, purpose: String, isGranted: Bool, id: UUID, at: Timestamp, expiresAt: Timestamp? = nil
    ) {
      self.channel = channel
      self.purpose = purpose
      self.isGranted = isGranted
      self.id = id
      self.at = at
      self.expiresAt = expiresAt
    }

    func isGiven(at now: Timestamp) -> Bool { isGranted && expiresAt.map { $0 > now } ?? true }
  }

  /// Of how many channels and purposes a client's consent is known at most.
  public static let maxConsents = 16

  /// - Returns: whether it says anything new.
  @discardableResult
  mutating func add(_ block: Block) -> Bool {
    func isSame(_ other: Lift) -> Bool { other.channel == block.channel && other.isOfWish == block.isWish }
    if let lift = lifts.first(where: isSame), block.at <= lift.at { return false }
    if let index = blocks.firstIndex(where: { $0.channel == block.channel && $0.cause == block.cause }) {
      guard blocks[index].at < block.at else { return false }
      blocks[index] = block
    } else {
      blocks.append(block)
      blocks.sort { $0.precedes($1) }
    }
    return true
  }

  /// What is known of the client's wishes besides its events, and nothing of actions.
  var permissions: ActionHistory {
    var known = ActionHistory()
    (known.consents, known.lifts, known.blocks) = (consents, lifts, blocks.filter { $0.cause != .event })
    return known
  }

  mutating func add(_ lift: Lift) {
    if let index = lifts.firstIndex(where: { $0.channel == lift.channel && $0.isOfWish == lift.isOfWish }) {
      lifts[index].at = max(lifts[index].at, lift.at)
    } else {
      lifts.append(lift)
      lifts.sort { ($0.channel.rawValue, $0.isOfWish ? 0 : 1) < ($1.channel.rawValue, $1.isOfWish ? 0 : 1) }
    }
    blocks.removeAll { $0.channel == lift.channel && $0.isWish == lift.isOfWish && $0.at <= lift.at }
  }

  /// Replaces what events have said by what the stored ones say.
  public mutating func replaceEventBlocks(by found: [Block]) {
    blocks.removeAll { $0.cause == .event }
    for block in found { add(block) }
  }

  /// Of two for the same channel and purpose the later one counts; of the same moment, the one that forbids.
  /// - Returns: whether it says anything new.
  @discardableResult
  mutating func add(_ consent: Consent) -> Bool {
    guard let index = consents.firstIndex(where: { $0.channel == consent.channel && $0.purpose == consent.purpose })
    else {
      consents.append(consent)
      consents.sort { ($0.channel.rawValue, $0.purpose) < ($1.channel.rawValue, $1.purpose) }
      return true
    }
    let known = consents[index]
    guard known.at < consent.at || known.at == consent.at && known.isGranted && !consent.isGranted else { return false }
    consents[index] = consent
    return true
  }
}

/// A person's record of what a client allows. Kept for as long as the client.
public struct ConsentRecord: Hashable, Sendable {
  public enum Change: String, CaseIterable, Hashable, Sendable {
    /// The client has consented to a purpose.
    case granted
    /// It no longer does.
    case withdrawn
    /// It must not be contacted on the channel.
    case blocked
    /// It wants to be contacted again.
    case unblocked
    /// Messages arrive again, after some had bounced.
    case reachable
  }

  /// A UUIDv7.
  public var id: UUID
  public var change: Change
  public var channel: Channel
  /// Of `granted` and `withdrawn`.
  public var purpose: String?
  /// When the client said so.
  public var at: Timestamp
  /// When a granted consent ends; nil: it does not.
  public var expiresAt: Timestamp?

  public init(
    id: UUID, change: Change, channel: Channel, purpose: String?, at: Timestamp, expiresAt: Timestamp? = nil
  ) {
    self.id = id
    self.change = change
    self.channel = channel
    self.purpose = purpose
    self.at = at
    self.expiresAt = expiresAt
  }

  /// Whether a text can name a purpose: 1 to 40 of a-z, 0-9, `_`, `-` and `.`.
  public static func isPurpose(_ text: String) -> Bool {
    (1...40).contains(text.utf8.count)
      && text.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"),
          UInt8(ascii: "-"), UInt8(ascii: "."):
          true
        default: false
        }
      }
  }
}

extension ActionHistory {
  /// What a record does to what is known.
  public enum RecordResult: Hashable, Sendable {
    case changed
    /// It was so before.
    case known
    /// The client's consent to so many purposes is known already.
    case tooMany
  }

  /// Takes over what a person has recorded.
  public mutating func apply(_ record: ConsentRecord) -> RecordResult {
    switch (record.change, record.purpose) {
    case (.blocked, _):
      return add(Block(channel: record.channel, cause: .person, id: record.id, at: record.at)) ? .changed : .known
    case (.unblocked, _), (.reachable, _):
      let before = self
      add(Lift(channel: record.channel, isOfWish: record.change == .unblocked, at: record.at))
      return before.blocks == blocks ? .known : .changed
    case (.granted, let purpose?), (.withdrawn, let purpose?):
      let isKnown = consents.contains { $0.channel == record.channel && $0.purpose == purpose }
      guard isKnown || consents.count < Self.maxConsents else { return .tooMany }
      let consent = Consent(
        channel: record.channel, purpose: purpose, isGranted: record.change == .granted, id: record.id, at: record.at,
        expiresAt: record.change == .granted ? record.expiresAt : nil)
      return add(consent) ? .changed : .known
    case (.granted, nil), (.withdrawn, nil): return .known
    }
  }
}

/// How far an action is bound by what the client allows and by the contact policy.
public enum ActionClass: String, CaseIterable, Hashable, Sendable {
  /// By all of it.
  case standard = "default"
  /// What the client itself has occasioned, such as a notice about its invoice: it needs no consent, and keeps to no
  /// limit, pause and quiet hours.
  case transactional
  /// What the law demands: it comes first, and is sent even to those who do not want to be contacted.
  case mandatory
}

extension ActionRules {
  func actionClass(of kind: ActionKind) -> ActionClass { contact?.classes[kind] ?? .standard }

  /// Why a client must not get an action, whatever speaks for it; nil: it may.
  func prohibition(of candidate: Candidate, _ history: ActionHistory, at now: Timestamp) -> Decision.Verdict? {
    let actionClass = actionClass(of: candidate.action)
    if let block = history.blocks.first(where: {
      $0.channel == candidate.channel && (actionClass != .mandatory || !$0.isWish)
    }) {
      return block.cause == .person || block.cause == .event
        ? .doNotContact(record: block.id, since: block.at) : .unreachable(actionID: block.id)
    }
    guard actionClass == .standard, let purpose = contact?.consent[candidate.channel] else { return nil }
    let consent = history.consents.first { $0.channel == candidate.channel && $0.purpose == purpose }
    return consent?.isGiven(at: now) == true ? nil : .noConsent(purpose: purpose)
  }
}

extension ActionRules {
  /// Ends what was not run, and what the client no longer allows on its channel. What has lost its cause is revoked
  /// elsewhere, if the rules say so; this is no matter of choice.
  public func revokeProhibited(_ history: inout ActionHistory, at now: Timestamp, _ changes: inout [ActionChange]) {
    guard life != nil, !history.blocks.isEmpty || contact?.consent.isEmpty == false else { return }
    for entry in history.entries where entry.end == nil && !entry.isRun && entry.trigger != nil {
      // The channel on which it was published; the rules may name another one since.
      let sent = history.contacts.first { $0.actionID == entry.actionID }?.channel
      let candidate = Candidate(
        action: entry.kind, channel: sent ?? channel(of: entry.kind), trigger: entry.trigger!, reason: "")
      let why: String
      switch prohibition(of: candidate, history, at: now) {
      case .noConsent(let purpose)?: why = "the client does not consent to \(purpose) on \(candidate.channel.rawValue)"
      case .some: why = "the client is not to be contacted on \(candidate.channel.rawValue)"
      case nil: continue
      }
      history.end(entry.actionID, .revoked, at: now)
      changes.append(ActionChange(actionID: entry.actionID, state: .revoked, at: now, detail: why))
    }
  }
}

/// Clients that are left alone on some channels, to learn what contacting the others is good for.
public struct Holdout: Hashable, Sendable {
  /// Of all clients, above 0 to 50.
  public var percent: Double
  public var channels: Set<Channel>
  /// With another salt other clients are chosen.
  public var salt: String

  public init(percent: Double, channels: Set<Channel> = [.email, .voice], salt: String = "1") {
    self.percent = percent
    self.channels = channels
    self.salt = salt
  }

  /// Whether a client belongs to it: for as long as share and salt stay, always the same answer. A client that is in a
  /// share is in each greater one, too.
  public func contains(_ client: UUID) -> Bool {
    // Sums of multiplications leave the high bits of a hash alike for ids that are alike: mixed as MurmurHash3 does.
    var hash = "\(salt)/\(client.text)".stableHash
    hash = (hash ^ (hash >> 33)) &* 0xff51_afd7_ed55_8ccd
    hash = (hash ^ (hash >> 33)) &* 0xc4ce_b9fe_1a85_ec53
    hash ^= hash >> 33
    return Double(hash >> 11) / Double(UInt64(1) << 53) < percent / 100
  }
}
