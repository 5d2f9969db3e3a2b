import FoundationEssentials
import Journey
import Testing

/// What a client allows: consent, do-not-contact, classes and the holdout.
@Suite struct PermissionsTests {
  private static func rules(_ change: (inout ContactPolicy) -> Void = { _ in }) -> DecisionRules {
    var rules = DecisionRules(), policy = ContactPolicy()
    change(&policy)
    rules.actions.life = LifeRules()
    rules.actions.contact = policy
    rules.risks.lowEngagement = nil
    return rules
  }

  /// A client that a credit pack would be offered to, by e-mail.
  private func client(_ history: ActionHistory = ActionHistory(), id: UUID = UUID()) -> ClientSnapshot {
    var summary = ClientSummary()
    for id in ["1", "2", "3"] { summary.insert(id, at: .present, stage: .upsellCandidate) }
    var client = ClientSnapshot.test(summary: summary, actionHistory: history, now: .present)
    client.id = id
    return client
  }

  private func verdicts(_ client: ClientSnapshot, _ rules: DecisionRules) -> [Decision.Verdict] {
    var client = client, random = SystemRandomNumberGenerator()
    return rules.evaluate(&client, without: .time, random: &random).decision.verdicts
  }

  private func record(
    _ change: ConsentRecord.Change, _ purpose: String? = nil, hours: Int64 = 0, until: Int64? = nil
  ) -> ConsentRecord {
    ConsentRecord(
      id: UUID(), change: change, channel: .email, purpose: purpose, at: .present + .hours(hours),
      expiresAt: until.map { .present + .hours($0) })
  }

  private func history(_ records: ConsentRecord...) -> ActionHistory {
    var history = ActionHistory()
    for record in records { #expect(history.apply(record) == .changed) }
    return history
  }

  @Test func whoeverIsBlockedIsNotContacted() {
    let block = record(.blocked)
    #expect(
      verdicts(client(history(block)), Self.rules()) == [.doNotContact(record: block.id, since: block.at)])
    #expect(verdicts(client(history(block, record(.unblocked))), Self.rules()) == [.chosen])
    var twice = history(block)
    #expect(twice.apply(record(.blocked)) == .known)
    var free = ActionHistory()
    #expect(free.apply(record(.unblocked)) == .known)
  }

  @Test func aChannelMayNeedConsent() {
    let rules = Self.rules { $0.consent[.email] = "marketing" }
    let refusal = [Decision.Verdict.noConsent(purpose: "marketing")]
    #expect(verdicts(client(), rules) == refusal)
    #expect(verdicts(client(history(record(.granted, "other"))), rules) == refusal)
    let granted = record(.granted, "marketing")
    #expect(verdicts(client(history(granted)), rules) == [.chosen])
    #expect(verdicts(client(history(granted, record(.withdrawn, "marketing", hours: 1))), rules) == refusal)
    #expect(verdicts(client(history(record(.granted, "marketing", hours: -2, until: 0))), rules) == refusal)
    #expect(verdicts(client(history(record(.granted, "marketing", until: 1))), rules) == [.chosen])
    #expect(verdicts(client(), Self.rules { $0.consent[.voice] = "marketing" }) == [.chosen], "on its channel alone")
  }

  /// What the client said last counts, in whatever order it is recorded; of one moment, what forbids.
  @Test func theLastWordCounts() {
    let earlier = record(.granted, "m", hours: 1), later = record(.withdrawn, "m", hours: 2)
    var late = history(later)
    #expect(late.apply(earlier) == .known && late.consents.map(\.isGranted) == [false])
    // Said once more: an older word does not come through later.
    var again = history(record(.withdrawn, "m", hours: 1), record(.withdrawn, "m", hours: 5))
    #expect(again.apply(record(.granted, "m", hours: 3)) == .known)
    var same = history(record(.withdrawn, "m"))
    #expect(same.apply(record(.granted, "m")) == .known)
    var other = history(record(.granted, "m"))
    #expect(other.apply(record(.withdrawn, "m")) == .changed)
    var full = ActionHistory()
    for number in 0..<ActionHistory.maxConsents { #expect(full.apply(record(.granted, "p\(number)")) == .changed) }
    #expect(full.apply(record(.granted, "one.more")) == .tooMany)
    #expect(full.apply(record(.withdrawn, "p3", hours: 1)) == .changed)
  }

  @Test func classesAreBoundByLess() {
    let blocked = history(record(.blocked))
    func rules(_ actionClass: ActionClass) -> DecisionRules {
      Self.rules {
        $0.classes[.offerCreditPack] = actionClass
        $0.consent[.email] = "marketing"
        $0.holdout = Holdout(percent: 50, channels: [.email])
      }
    }
    let held = UUIDs.first { Holdout(percent: 50, channels: [.email]).contains($0) }
    #expect(verdicts(client(id: held), rules(.standard)) == [.noConsent(purpose: "marketing")])
    #expect(verdicts(client(history(record(.granted, "marketing")), id: held), rules(.standard)) == [.heldOut])
    for free in [ActionClass.transactional, .mandatory] {
      #expect(verdicts(client(id: held), rules(free)) == [.chosen], "\(free)")
    }
    #expect(verdicts(client(blocked), rules(.transactional)).first != .chosen)
    #expect(verdicts(client(blocked), rules(.mandatory)) == [.chosen], "the law comes before the wish")
  }

  /// Nothing arrives, so nothing is sent, whatever its class.
  @Test func nothingGoesWhereItBounces() {
    var history = ActionHistory(), life = ActionLife()
    let report = OutcomeReport(
      actionID: UUID(), outcome: .bounced, occurredAt: .present, until: nil, reporter: "w", orgID: nil)
    _ = life.apply(report)
    history.apply(report, to: life, .offerCreditPack, on: .email, countsContacts: true)
    let rules = Self.rules { $0.classes[.offerCreditPack] = .mandatory }
    #expect(verdicts(client(history), rules) == [.unreachable(actionID: report.actionID)])
    // A wish beside it counts for itself.
    let block = record(.blocked)
    #expect(history.apply(block) == .changed && history.blocks.count == 2)
    #expect(ActionHistory(encoded: history.encoded()) == history)
    #expect(history.apply(record(.reachable)) == .changed)
    #expect(verdicts(client(history), rules) == [.chosen])
    #expect(
      verdicts(client(history), Self.rules()) == [.doNotContact(record: block.id, since: block.at)],
      "that it is reachable does not mean that it wants to be reached")
    #expect(history.apply(record(.unblocked)) == .changed)
    #expect(verdicts(client(history), Self.rules()) == [.chosen])
  }

  /// What was lifted does not come back, unless it is said again.
  @Test func whatIsLiftedStaysLifted() {
    var history = history(record(.blocked), record(.unblocked, hours: 2))
    #expect(history.blocks == [] && ActionHistory(encoded: history.encoded()) == history)
    let old = ActionHistory.Block(channel: .email, cause: .event, id: UUID(), at: .present + .hours(1))
    history.replaceEventBlocks(by: [old])
    #expect(history.blocks == [], "from before")
    let new = ActionHistory.Block(channel: .email, cause: .event, id: UUID(), at: .present + .hours(3))
    history.replaceEventBlocks(by: [new])
    #expect(history.blocks == [new])
    history.replaceEventBlocks(by: [])
    #expect(history.blocks == [], "the event is void")
    // By the same action for the second time.
    func report(_ hours: Int64) -> OutcomeReport {
      OutcomeReport(
        actionID: UUID(), outcome: .unsubscribed, occurredAt: .present + .hours(hours), until: nil, reporter: "w",
        orgID: nil)
    }
    history.applyBlock(of: report(1), on: .email)
    #expect(history.blocks == [])
    history.applyBlock(of: report(4), on: .email)
    #expect(history.blocks.map(\.cause) == [.unsubscribed])
    // An outcome and an event say the same; the event is void.
    history.replaceEventBlocks(by: [new])
    #expect(history.blocks.map(\.cause) == [.unsubscribed, .event])
    #expect(ActionHistory(encoded: history.encoded()) == history)
    history.replaceEventBlocks(by: [])
    #expect(history.blocks.map(\.cause) == [.unsubscribed])
    // Lifted as of before it was said.
    #expect(history.apply(record(.blocked, hours: 3)) == .changed)
    #expect(history.apply(record(.unblocked, hours: 3)) == .changed)
    #expect(history.blocks.map(\.cause) == [.unsubscribed])
    // Of a merge, in whichever order.
    let blocked = self.history(record(.blocked, hours: 1))
    for bytes in [history.encoded() + blocked.encoded(), blocked.encoded() + history.encoded()] {
      #expect(ActionHistory(encoded: bytes)?.blocks == history.blocks)
    }
  }

  @Test func whatTheLawDemandsComesFirst() {
    var summary = client().summary
    summary.lateInvoices = LateInvoices(count: 1, oldest: [.init(id: "in_1", overdueAt: .present)])
    var client = client()
    client.summary = summary
    #expect(verdicts(client, Self.rules()) == [.chosen, .outranked(by: .offerCreditPack)])
    let rules = Self.rules { $0.classes[.emailOutreach] = .mandatory }
    #expect(verdicts(client, rules) == [.chosen, .outranked(by: .emailOutreach)])
  }

  /// An event of the vendor says it: on this channel nothing more is sent, and what waits is taken back.
  @Test func anUnsubscriptionBlocksItsChannel() {
    let rules = Self.rules { $0.unsubscribes["email_unsubscribed"] = .email }
    var client = client(), random = SystemRandomNumberGenerator()
    let first = rules.evaluate(&client, without: .time, random: &random)
    #expect(first.decision.verdicts == [.chosen])
    let event = IncomingEvent(
      id: UUID(),
      event: JourneyEvent(
        orgID: client.orgID, source: "s", sourceEventID: "u", client: ClientReference(id: client.id),
        type: "email_unsubscribed", stage: nil, actor: .client, occurredAt: .present, metadata: []),
      signals: Signals())
    client.now = .present + .hours(1)
    let second = rules.evaluate(&client, taking: [event], random: &random)
    #expect(second.last?.decision.verdicts == [.doNotContact(record: event.id, since: .present)])
    #expect(client.actionChanges.map(\.state) == [.revoked])
    #expect(client.actionHistory.contacts == [], "it was not run")
    #expect(client.actionChanges.first?.detail == "the client is not to be contacted on email")
  }

  @Test func whatIsKnownIsStored() {
    let known = history(
      record(.granted, "marketing", until: 9), record(.withdrawn, "product.news", hours: 1), record(.blocked))
    #expect(ActionHistory(encoded: known.encoded()) == known)
    // Two clients that are one: what forbids more counts, and of consents what was said last.
    let other = history(record(.granted, "product.news", hours: 2), record(.withdrawn, "marketing", hours: 3))
    for bytes in [known.encoded() + other.encoded(), other.encoded() + known.encoded()] {
      let both = ActionHistory(encoded: bytes)
      #expect(both?.blocks == known.blocks)
      #expect(both?.consents.map { "\($0.purpose) \($0.isGranted)" } == ["marketing false", "product.news true"])
    }
  }

  private enum UUIDs {
    static let all = (0..<100_000).map { _ in UUID() }
    static func first(_ condition: (UUID) -> Bool) -> UUID { all.first(where: condition)! }
  }

  /// Sticky, of the share that was asked for, and another one with another salt.
  @Test func theHoldoutIsAShareOfTheClients() {
    let five = Holdout(percent: 5), ten = Holdout(percent: 10), other = Holdout(percent: 5, salt: "2")
    let chosen = UUIDs.all.filter(five.contains)
    // Four standard deviations of a share of 5 % of 100,000.
    #expect(abs(chosen.count - 5000) < 276)
    #expect(chosen.allSatisfy(ten.contains), "who is left alone stays so when the share grows")
    #expect(abs(chosen.filter(other.contains).count - 250) < 62)
    // Ids of one after the other, as the adapter makes them, are as good.
    var random = SystemRandomNumberGenerator()
    let sequence = (0..<100_000).map { UUID.v7(at: .present + .seconds($0), using: &random) }
    #expect(abs(sequence.filter(five.contains).count - 5000) < 276)
  }

  @Test func theHoldoutIsTold() throws {
    let held = UUIDs.first(Holdout(percent: 50).contains), other = UUIDs.first { !Holdout(percent: 50).contains($0) }
    let rules = Self.rules { $0.holdout = Holdout(percent: 50) }
    for (id, expected) in [(held, true), (other, false)] {
      var client = client(id: id), random = SystemRandomNumberGenerator()
      let evaluation = rules.evaluate(&client, without: .time, random: &random)
      var json = JSONWriter(reservingCapacity: 512)
      evaluation.writeExplanation(ruleVersion: "v", risks: Array("[]".utf8), into: &json)
      let root = try JSONDocument(parsing: json.bytes).root
      #expect(root["holdout"]?.bool == expected)
      let candidate = root["candidates"]?.elements.first { _ in true }
      #expect(candidate?["verdict"]?.string == (expected ? "held_out" : "chosen"))
    }
  }
}
