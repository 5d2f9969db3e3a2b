import Foundation
import Journey
import JourneyConfiguration
import PostgresClient
import TestServers
import Testing

@testable import JourneyPostgres
@testable import TestSupport

/// A year of an agency: its clients in five time zones, every event type, and workers whose clients answer. Afterwards a
/// checker that shares no code with the adapter looks at every action.
///
/// The short form has two months around the changes of the clocks. `JOURNEY_YEAR=long` has the whole year and 1,000
/// clients, and compares with the profile `literal`.
@Suite(.timeLimit(.minutes(60))) struct SimulatedYearTests {
  private static let isLong = ProcessInfo.processInfo.environment["JOURNEY_YEAR"] == "long"
  private static let root = (0..<4).reduce(URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()) { url, _ in
    url.deletingLastPathComponent()
  }.path

  private static func time(_ text: String) -> Timestamp { Timestamp(iso8601: text)! }

  private static let spans =
    isLong
    ? [time("2026-01-05T00:07:00Z")..<time("2027-01-05T00:00:00Z")]
    : [
      time("2026-03-05T00:07:00Z")..<time("2026-04-09T00:00:00Z"),
      time("2026-10-01T00:07:00Z")..<time("2026-11-05T00:00:00Z"),
    ]

  private static func localHour(_ time: Timestamp, _ zone: String?) -> Int {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = TimeZone(identifier: zone ?? organizationZone)!
    return calendar.component(.hour, from: Date(timeIntervalSince1970: Double(time.microseconds) / 1_000_000))
  }

  private static let organizationZone = "Europe/London"

  private static func isNight(_ time: Timestamp, _ zone: String?) -> Bool { !(8..<21).contains(localHour(time, zone)) }

  private static func clients(_ count: Int) -> [YearClient] {
    var random = SeededRandom(stream: 1)
    return (0..<count).map { index in
      var client = YearClient(
        index: index, id: UUID.v7(at: spans[0].lowerBound, using: &random),
        zone: index % 6 == 5 ? nil : YearRun.zones[index % 6],
        agreesToCalls: index % 3 != 0)
      if index % 9 == 1 { client.takesCallsBackAt = spans[0].lowerBound + .days(20) + .seconds(60 * Int64(index)) }
      return client
    }
  }

  private static func decider(_ rules: DecisionRules, _ clients: [YearClient]) -> Decider {
    let indices = Dictionary(uniqueKeysWithValues: clients.map { ($0.id, $0.index) })
    @Sendable func message(_ id: UUID, _ org: UUID, _ priority: Priority, _ at: Timestamp, _ text: String)
      -> ActionMessage
    {
      ActionMessage(
        id: id, orgID: org, routingKey: "a.b", priority: priority, timeToLive: nil, decidedAt: at, causeID: "",
        traceparent: nil, body: Array(text.utf8))
    }
    return Decider(
      rules: rules, revocation: { message($0.id, $0.orgID, $0.priority, $0.at, "") }
    ) { action in
      message(
        action.id, action.orgID, action.priority, action.decidedAt,
        "\(indices[action.clientID]!) \(action.action.rawValue) \(action.channel.rawValue)")
    }
  }

  private func live(
    _ rules: DecisionRules, _ count: Int, _ spans: [Range<Timestamp>] = spans,
    check: (YearRun.Account, [YearClient], PostgresWorker) async throws -> Void
  ) async throws {
    let url = try await MigratedDatabase.make(), clients = Self.clients(count)
    try await withDatabase(url) { other in
      try await other.run(
        "INSERT INTO organizations (id, name, time_zone) VALUES ('\(YearRun.org)', 'Roth', '\(Self.organizationZone)')")
      for client in clients {
        let zone = client.zone.map { "'\($0)'" } ?? "NULL"
        try await other.run(
          "INSERT INTO contacts (id, org_id, name, time_zone) VALUES ('\(client.id)', '\(YearRun.org)', 'A', \(zone))")
      }
      // Nothing is killed here, so commits need not wait for the disk.
      let database = try #require(try await other.rows("SELECT current_database()").first)
      try await other.run("ALTER DATABASE \(database) SET synchronous_commit = off")
      let settings = try PostgresSettings(conninfo: url, role: "journey_adapter")
      let store = try await PostgresEventStore.open(
        settings, workers: 1, decider: Self.decider(rules, clients), clock: SystemClock())
      let worker = PostgresWorker(settings), consents = ConsentRepository(worker: worker)
      var ids = IDRandom()
      for client in clients where client.agreesToCalls {
        let at = Self.spans[0].lowerBound
        // Of some it ends by itself.
        let record = ConsentRecord(
          id: UUID.v7(at: at, using: &ids), change: .granted, channel: .voice, purpose: "calls", at: at,
          expiresAt: client.index % 9 == 2 ? at + .days(25) : nil)
        _ = try await consents.record(
          record, of: client.id, source: "form", reason: nil, actor: "year", at: at, rules: rules.actions)
      }
      let result: Result<Void, any Error>
      do {
        var run = YearRun(
          clients: clients, store: store, other: other, consents: consents, rules: rules, seed: 7,
          isNight: Self.isNight)
        try await run.live(spans)
        result = .success(try await check(run.account, run.clients, other))
      } catch { result = .failure(error) }
      await store.close()
      await worker.close()
      try result.get()
    }
  }

  private static func rules(_ path: String) throws -> DecisionRules {
    var rules = try DecisionLoader.load(file: "\(root)/config/\(path)")
    // The weeks between the two spans are silent.
    rules.feedOutage = nil
    return rules
  }

  /// The shipped rules, and what they leave out.
  private static func shipped() throws -> DecisionRules {
    var rules = try rules("decisions.yaml")
    rules.actions.contact?.consent[.voice] = "calls"
    rules.actions.contact?.holdout = Holdout(percent: 5)
    rules.recordsInputs = true
    return rules
  }

  enum Rule: String, CaseIterable {
    case limit = "two within seven days"
    case quietHours = "at night"
    case pause = "two surveys within 90 days"
    case unsubscription = "an e-mail that nobody wants"
    case suitability = "an offer to someone who is late"
    case consent = "a call without consent"
    case holdout = "is held out, and was contacted"
  }

  /// With a rule switched off, the checker finds what the rule is there to prevent. The short form tries some of them.
  @Test(arguments: isLong ? Rule.allCases : [.limit, .quietHours, .consent]) func theCheckerSees(_ rule: Rule)
    async throws
  {
    var rules = try Self.shipped()
    switch rule {
    case .limit: rules.actions.contact?.limits = [:]
    case .quietHours: rules.actions.contact?.quietHours = nil
    case .pause: rules.actions.contact?.pauses = [:]
    case .unsubscription: rules.actions.contact?.unsubscribes = [:]
    case .suitability: rules.actions.contact?.unsuitable = [:]
    case .consent: rules.actions.contact?.consent = [:]
    case .holdout: rules.actions.contact?.holdout?.channels = []
    }
    let begin = Self.time("2026-03-05T00:07:00Z")
    try await live(rules, 80, [begin..<begin + .days(60)]) { account, clients, database in
      let checker = try await YearChecker(database, account, clients, isNight: Self.isNight)
      #expect(checker.broken.contains { $0.contains(rule.rawValue) }, "\(checker.actions.count) actions")
    }
  }

  @Test func noLimitIsBroken() async throws {
    let rules = try Self.shipped()
    let count = Self.isLong ? 1000 : 60
    var spent: YearRun.Account?
    try await live(rules, count) { account, clients, database in
      spent = account
      let checker = try await YearChecker(database, account, clients, isNight: Self.isNight)
      #expect(checker.actions.count > count * 5, "enough has happened to say anything: \(checker.actions.count)")
      #expect(checker.broken == [])
      #expect(account.rejected == [])
      #expect(account.forgotten == [], "a CRITICAL client for whom nothing is under way")
      #expect(
        checker.verdicts.isSuperset(of: [
          "chosen", "limited", "quiet_hours", "no_consent", "held_out", "unsuitable", "do_not_contact",
        ]), "each rule has had its say: \(checker.verdicts.sorted())")
      let progress = try await DecisionVerification(rules: rules).run(on: database)
      #expect(progress.same == progress.verified && progress.verified > 1000, "\(progress)")
    }
    guard Self.isLong, let spent else { return }
    #expect(
      spent.types.count == EventTypes.all.count - EventTypes.all.filter { $0.type.hasPrefix("invoice_") }.count + 2)
    try await live(try Self.rules("profiles/literal/decisions.yaml"), count) { literal, _, _ in
      print("| | literal | shipped rules |")
      for (what, value) in [
        ("events", \YearRun.Account.events), ("accepted", \.accepts), ("unsubscribed", \.unsubscribed),
      ] { print("| \(what) | \(literal[keyPath: value]) | \(spent[keyPath: value]) |") }
      for channel in [Channel.email, .voice, .human] {
        print(
          "| \(channel.rawValue): messages, accepted | \(literal.messages[channel] ?? 0), \(literal.accepted[channel] ?? 0) | \(spent.messages[channel] ?? 0), \(spent.accepted[channel] ?? 0) |"
        )
      }
      #expect(spent.messages.values.reduce(0, +) * 2 < literal.messages.values.reduce(0, +))
      #expect(spent.accepts >= literal.accepts)
    }
  }
}
