import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import Testing

/// The statements of a running adapter, batch by batch, with their plans.
struct PlanScenario {
  enum Rules: CaseIterable, Sendable {
    /// The adapter's own rules: one evaluation per client and batch, and invoices are tracked until they are settled.
    case defaultProfile
    /// The design document's rules: every event is evaluated, and every best action is published.
    case seed
  }

  let store: PostgresEventStore
  let log: PlanLog
  /// The database's URL, for the test's own statements.
  let url: String
  private let rules: DecisionRules
  private let tag: String

  static func run(
    on history: PlanHistory, _ log: PlanLog, _ rules: Rules, life: LifeRules? = nil,
    _ body: (PlanScenario) async throws -> Void
  ) async throws {
    var decisions = DecisionRules()
    // So that every batch publishes, and executes the same statements.
    decisions.actions.cooldown = .seconds(0)
    decisions.actions.life = life
    if rules == .seed {
      decisions.evaluation = .perEvent
      decisions.risks.lateInvoices = .everOverdue
    }
    let revocation = { @Sendable (revoked: RevokedAction) in
      ActionMessage(
        id: revoked.id, orgID: revoked.orgID, routingKey: "a.b", priority: revoked.priority, timeToLive: nil,
        decidedAt: revoked.at, causeID: "", traceparent: nil, body: [])
    }
    let decider = Decider(rules: decisions, revocation: revocation) { action in
      ActionMessage(
        id: action.id, orgID: action.orgID, routingKey: "a.b", priority: action.priority, timeToLive: action.timeToLive,
        decidedAt: action.decidedAt,
        causeID: action.causeID, traceparent: nil, body: [])
    }
    let settings = try PostgresSettings(conninfo: PlanLog.url(history.url), role: "journey_adapter")
    let store = try await PostgresEventStore.open(settings, workers: 1, decider: decider, clock: SystemClock())
    let scenario = PlanScenario(store: store, log: log, url: history.url, rules: decisions, tag: "\(rules)")
    do {
      try await body(scenario)
    } catch {
      await store.close()
      throw error
    }
    await store.close()
  }

  /// Events of all types, spread over the clients: three in four are new; one in four is late and falls into the middle
  /// of the history.
  /// - Parameter kind: a prefix that makes the ids unique.
  func events(of clients: [ClientReference], count: Int = 40, _ kind: String, settingStages: Bool = true) throws
    -> [IncomingEvent]
  {
    let kinds: [(type: String, stage: Stage?)] = [
      ("note_added", nil), ("invoice_overdue", .billing), ("invoice_paid", nil), ("ticket_opened", nil),
      ("meeting_scheduled", .onboarding),
      ("milestone_delayed", nil), ("usage_reported", nil), ("lead_created", .lead),
      ("deliverable_sent", .awaitingFeedback), ("invoice_voided", nil),
    ]
    let now = SystemClock().now()
    var random = IDRandom()
    return try (0..<count).map { n in
      let (type, usual) = kinds[n / 4 % kinds.count]
      let stage = settingStages ? usual : nil
      let metadata = Array(#"{"invoiceId":"i\#(n)","usage":12,"sentiment":"negative"}"#.utf8)
      let id = "\(tag)-\(kind)-\(n)"
      let event = JourneyEvent(
        orgID: PlanHistory.organization(0), source: "crm", sourceEventID: id, client: clients[n % clients.count],
        type: type, stage: stage,
        occurredAt: now - (n % 4 == 0 ? .days(300) : .seconds(Int64(count - n))), metadata: metadata)
      let signals = SignalReader(rules.signals).signals(
        type: type, stage: stage, actor: nil, sourceEventID: id, metadata: try JSONDocument(parsing: metadata).root)
      return IncomingEvent(id: UUID.v7(at: now, using: &random), event: event, signals: signals)
    }
  }

  /// The plans of a batch's commit, and its result.
  func commit(_ events: [IncomingEvent], published: [UUID] = []) async throws -> (
    plans: [ExecutedPlan], result: CommitResult
  ) {
    var result: CommitResult?
    let plans = try await log.plans { result = try await store.commitAll(events, published: published) }
    return (plans, try #require(result))
  }
}
