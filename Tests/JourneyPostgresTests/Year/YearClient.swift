import FoundationEssentials
import Journey

@testable import TestSupport

/// A client of the simulated year: what happens to it, and how it takes what it is sent. The adapter sees the events and
/// the answers, and none of this.
struct YearClient {
  let index: Int
  let id: UUID
  /// What `contacts.time_zone` says; nil: the organisation's counts.
  let zone: String?
  /// Whether it has agreed to be called.
  let agreesToCalls: Bool
  /// When it takes that back; nil: never.
  var takesCallsBackAt: Timestamp?

  var stage = Stage.lead
  /// What would help it now, with a number for each occasion.
  var needs: [ActionKind: Int] = [:]
  /// Open invoices.
  var overdue: Set<String> = []
  var negatives = 0
  var tickets = 0
  /// When it was last reached by e-mail or call, the latest last.
  var reached: [Timestamp] = []
  var hasUnsubscribed = false
  private var occasions = 0
  private var events = 0

  init(index: Int, id: UUID, zone: String?, agreesToCalls: Bool) {
    self.index = index
    self.id = id
    self.zone = zone
    self.agreesToCalls = agreesToCalls
  }

  /// An event, before it is one of the adapter.
  struct Happening {
    var id: String
    var type: String
    var stage: Stage?
    var metadata = "{}"
    /// An invoice that is paid some time later.
    var opensInvoice: String?
  }

  mutating func occasion(for kind: ActionKind) {
    guard needs[kind] == nil else { return }
    occasions += 1
    needs[kind] = occasions
  }

  private mutating func happening(_ type: String, _ stage: Stage? = nil, _ metadata: String = "{}") -> Happening {
    events += 1
    return Happening(id: "\(index)-\(events)", type: type, stage: stage, metadata: metadata)
  }

  mutating func paid(_ invoice: String) -> Happening? {
    guard overdue.remove(invoice) != nil else { return nil }
    if overdue.isEmpty { needs[.emailOutreach] = nil }
    return happening("invoice_paid", nil, #"{"invoiceId":"\#(invoice)"}"#)
  }

  /// What happens next.
  mutating func next(_ random: inout SeededRandom) -> Happening {
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<4:
      occasion(for: .emailOutreach)
      let invoice = "in_\(index)_\(events)"
      overdue.insert(invoice)
      var found = happening("invoice_overdue", .billing, #"{"invoiceId":"\#(invoice)"}"#)
      found.opensInvoice = invoice
      return found
    case 4..<11:
      negatives += 1
      if negatives.isMultiple(of: 2) { occasion(for: .conciergePersonalIntervention) }
      return happening("sentiment_detected", nil, #"{"sentiment":"negative"}"#)
    case 11..<18:
      tickets += 1
      if tickets.isMultiple(of: 3) { occasion(for: .conciergePersonalIntervention) }
      return happening("ticket_opened")
    case 18..<26:
      stage = Stage.allCases.randomElement(using: &random)!
      switch stage {
      case .lead, .qualifiedLead: occasion(for: .emailOutreach)
      case .onboarding: occasion(for: .scheduleMeeting)
      case .awaitingFeedback: occasion(for: .triggerSatisfactionSurvey)
      case .churnRisk: occasion(for: .conciergePersonalIntervention)
      case .upsellCandidate: occasion(for: .offerCreditPack)
      default: break
      }
      return happening("lifecycle_changed", stage)
    case 26..<29:
      let usage = Int.random(in: 0..<100, using: &random)
      if usage < 20 { occasion(for: .scheduleMeeting) }
      return happening("usage_reported", nil, #"{"usage":\#(usage)}"#)
    case 29 where Int.random(in: 0..<3, using: &random) == 0:
      hasUnsubscribed = true
      return happening("email_unsubscribed")
    default:
      let type = EventTypes.all.randomElement(using: &random)!.type
      // These have their own way above.
      return happening(type.hasPrefix("invoice_") || type == "email_unsubscribed" ? "message_received" : type)
    }
  }

  /// What it answers to an e-mail or a call, and after how long; nil: nothing.
  ///
  /// It takes up what helps it. The more often it was contacted within seven days, and at night, the less it listens, and
  /// the sooner it has had enough.
  mutating func answer(
    _ kind: ActionKind, _ channel: Channel, at now: Timestamp, isNight: Bool, _ random: inout SeededRandom
  ) -> (outcome: ActionOutcome, after: TimeSpan)? {
    reached.removeAll { $0 + .days(7) <= now }
    reached.append(now)
    if channel == .email, hasUnsubscribed { return nil }
    var chance = needs[kind] == nil ? 0 : 0.6
    for _ in reached.dropFirst() { chance /= 2 }
    if isNight { chance /= 4 }
    let dice = Double.random(in: 0..<1, using: &random)
    let after = TimeSpan.hours(Int64.random(in: 1..<60, using: &random))
    if dice < chance {
      needs[kind] = nil
      return (.accepted, after)
    }
    if channel == .email, dice > 1 - 0.004 * Double(reached.count) {
      hasUnsubscribed = true
      return (.unsubscribed, .hours(1))
    }
    if channel == .email, dice > 0.97, dice < 0.972 { return (.bounced, .hours(1)) }
    return dice > 0.8 ? (.rejected, after) : nil
  }

  /// What comes of a visit or a meeting.
  mutating func meet(_ kind: ActionKind, _ random: inout SeededRandom) -> ActionOutcome {
    guard needs[kind] != nil, Int.random(in: 0..<10, using: &random) < 8 else { return .rejected }
    needs[kind] = nil
    return .accepted
  }
}
