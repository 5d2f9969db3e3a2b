import FoundationEssentials

/// All that a decision depends on besides the rules, so that it can be made again, bit for bit.
struct DecisionInput: Sendable {
  var clientID: UUID
  var now: Timestamp
  var frozenSince: Timestamp?
  var aiScore: Double?
  var timeZones: [String?]
  /// See `DecisionRules.evaluate`.
  var publishes: Bool
  var decides: Bool
  var summary: ClientSummary
  var actionHistory: ActionHistory

  init(_ client: ClientSnapshot, publishes: Bool, decides: Bool) {
    clientID = client.id
    now = client.now
    frozenSince = client.frozenSince
    aiScore = client.aiScore
    timeZones = client.timeZones
    self.publishes = publishes
    self.decides = decides
    summary = client.summary
    actionHistory = client.actionHistory
  }
}

/// The stored form: a version byte, the fields, and a hash of both.
extension DecisionInput {
  private static let version: UInt8 = 1

  func encoded() -> [UInt8] {
    var out = StateWriter()
    out.byte(Self.version)
    out.byte((publishes ? 1 : 0) | (decides ? 2 : 0))
    out.uuid(clientID)
    out.signed(now.microseconds)
    out.optional(frozenSince) { out, time in out.signed(time.microseconds) }
    out.optional(aiScore) { out, score in out.fixed(score.bitPattern) }
    out.list(timeZones) { out, zone in out.optional(zone) { out, name in out.string(name) } }
    let history = actionHistory.encoded()
    out.list(history) { out, byte in out.byte(byte) }
    summary.write(to: &out)
    let bytes = out.bytes
    out.fixed(Self.hash(bytes))
    return out.bytes
  }

  /// - Returns: nil: it is damaged, or a later version has written it.
  init?(encoded: [UInt8]) {
    guard encoded.count > 8, encoded[0] == Self.version else { return nil }
    let fields = Array(encoded.dropLast(8))
    var end = StateReader(Array(encoded.suffix(8)))
    guard end.fixed() == Self.hash(fields) else { return nil }
    var input = StateReader(fields)
    _ = input.byte()
    let flags = input.byte()
    publishes = flags & 1 != 0
    decides = flags & 2 != 0
    clientID = input.uuid()
    now = Timestamp(microseconds: input.signed())
    frozenSince = input.optional { Timestamp(microseconds: $0.signed()) }
    aiScore = input.optional { Double(bitPattern: $0.fixed()) }
    timeZones = input.list { $0.optional { $0.string() } }
    guard let history = ActionHistory(encoded: input.list { $0.byte() }),
      let summary = ClientSummary(from: &input), input.isAtEnd
    else { return nil }
    actionHistory = history
    self.summary = summary
  }

  private static func hash(_ bytes: [UInt8]) -> UInt64 {
    bytes.reduce(0xcbf2_9ce4_8422_2325) { hash, byte in (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
  }
}

/// Makes recorded decisions again.
public struct DecisionVerifier: Sendable {
  public enum Finding: Hashable, Sendable {
    /// It comes out as it was recorded.
    case same
    /// These members of the explanation come out otherwise.
    case differs([String])
    /// It was made by rules of this version.
    case otherRules(String)
    /// The input or the explanation cannot be read.
    case unreadable
  }

  private let rules: DecisionRules

  public init(rules: DecisionRules) {
    var rules = rules
    rules.recordsInputs = false
    self.rules = rules
  }

  /// - Parameters:
  ///   - input: as `Evaluation.input` was stored.
  ///   - explanation: the stored explanation, as `Evaluation.writeExplanation` wrote it.
  public func verify(_ input: [UInt8], _ explanation: [UInt8]) -> Finding {
    guard let input = DecisionInput(encoded: input) else { return .unreadable }
    let outcome = outcome(of: input)
    // The cause follows: the event says it, and it decides nothing.
    if explanation.starts(with: outcome + Array(#","cause":{"#.utf8)) { return .same }
    guard let stored = try? JSONDocument(parsing: explanation).root, stored.kind == .object else { return .unreadable }
    let version = stored["ruleVersion"]?.string ?? ""
    guard version == rules.version else { return .otherRules(version) }
    guard let again = try? JSONDocument(parsing: outcome + Array("}".utf8)).root else { return .unreadable }
    let names = again.members.map(\.key) + stored.members.map(\.key).filter { $0 != "cause" }
    var differing: [String] = []
    for name in names where !differing.contains(name) && stored[name]?.rawBytes != again[name]?.rawBytes {
      differing.append(name)
    }
    return .differs(differing)
  }

  private func outcome(of input: DecisionInput) -> [UInt8] {
    var client = ClientSnapshot(
      id: input.clientID, orgID: .zero, name: nil, email: nil, phone: nil, aiScore: input.aiScore,
      summary: input.summary, actionHistory: input.actionHistory, lateInvoices: nil, now: input.now)
    client.timeZones = input.timeZones
    client.frozenSince = input.frozenSince
    // Its id is no part of the outcome.
    var random = SystemRandomNumberGenerator()
    let evaluation = rules.evaluate(
      &client, without: .time, publishes: input.publishes, decides: input.decides, random: &random)
    var risks = JSONWriter(reservingCapacity: 256), json = JSONWriter(reservingCapacity: 1024)
    evaluation.assessment.writeRisks(into: &risks)
    json.beginObject()
    evaluation.writeOutcome(ruleVersion: rules.version, risks: risks.bytes, into: &json)
    return json.bytes
  }
}
