import FoundationEssentials
import Journey
import PostgresClient
import TestServers
import Testing

@testable import JourneyPostgres

extension PlanTests {
  /// The API's queries. The cost of a page depends on its size only, not on its position or on the amount of data.
  @Suite struct Reads {
    private static let organization = PlanHistory.organization(0)
    private static let page = PageRequest(limit: 50)
    private static let caller = Caller(
      subject: PlanHistory.member, claims: Array(#"{"sub":"\#(PlanHistory.member)"}"#.utf8), isOperator: false,
      expiresAt: Timestamp(seconds: 4_000_000_000))

    private func withReader(
      _ statistics: PlanHistory.Statistics,
      _ body: (PlanRules, _ plans: (JourneyQuery) async throws -> [ExecutedPlan]) async throws -> Void
    ) async throws {
      let history = try await PlanTests.filled(statistics)
      let log = PlanLog(try await TestServers.shared())
      let url = PlanLog.url(history.url)
      // As `serve` reads.
      var settings = try PostgresSettings(conninfo: url, role: "authenticated")
      settings.plansByIndexes = true
      let pool = PostgresPool(settings, size: 1)
      settings.role = "journey_adapter"
      let requests = PostgresWorker(settings)
      let adapter = PostgresWorker(try PostgresSettings(conninfo: url, role: "journey_adapter"))
      let reader = PostgresJourneyReader(pool: pool, adapter: adapter, lists: requests, rules: DecisionRules())
      let result: Result<Void, any Error>
      do {
        try await body(try await history.rules()) { query in
          try await log.plans { _ = try #require(try await reader.read(query, for: Self.caller), "nothing to be read") }
        }
        result = .success(())
      } catch {
        result = .failure(error)
      }
      await pool.close()
      await adapter.close()
      await requests.close()
      try result.get()
    }

    @Test(arguments: PlanHistory.Statistics.allCases)
    func aClientsPageReadsNoMoreOfALongHistoryThanOfAShortOne(_ statistics: PlanHistory.Statistics)
      async throws
    {
      let past = PageRequest(after: ["2000-01-01T00:00:00Z", "0f000000-0000-4000-8000-000000000000"], limit: 50)
      func actions(_ client: UUID, _ state: ActionState?, _ page: PageRequest) -> JourneyQuery {
        .actions(ActionFilter(orgID: Self.organization, clientID: client, state: state), page)
      }
      let queries: [(String, (UUID) -> JourneyQuery)] = [
        ("client", { .client($0) }), ("events", { .events(client: $0, Self.page) }),
        ("the last events", { .events(client: $0, past) }),
        ("next action", { .nextAction(client: $0) }), ("actions", { actions($0, nil, Self.page) }),
        ("the last actions", { actions($0, nil, past) }),
        ("published actions", { actions($0, .published, Self.page) }),
      ]
      try await withReader(statistics) { wanted, plans in
        var wanted = wanted
        // For a client whose history the host has changed and that is not evaluated yet, all invoice events are read.
        wanted.exempt = [SummaryRebuild(signals: SignalRules()).late.sql]
        for (work, query) in queries {
          let short = try await plans(query(PlanHistory.shortClient))
          let long = try await plans(query(PlanHistory.longClient))
          PlanTests.report(wanted.findings(short + long, in: work) + wanted.growth(from: short, to: long, in: work))
        }
      }
    }

    @Test(arguments: PlanHistory.Statistics.allCases)
    func anOrganisationsPageReadsAPage(_ statistics: PlanHistory.Statistics) async throws {
      let org = Self.organization
      let later = PageRequest(after: ["Client 2", "00000000-0000-4000-8000-000000000000"], limit: 50)
      let queries: [(String, JourneyQuery)] = [
        ("caller", .caller), ("high risk", .highRisk(org: org, BoardRequest(limit: 50))),
        ("high risk of all", .highRisk(org: nil, BoardRequest(limit: 50))),
        ("upsell", .upsell(org: org, BoardRequest(limit: 50))),
        ("clients", .clients(ClientFilter(orgID: org), Self.page)),
        ("clients of all", .clients(ClientFilter(), Self.page)),
        ("more clients", .clients(ClientFilter(orgID: org), later)),
        ("actions", .actions(ActionFilter(orgID: org), Self.page)),
        ("actions of all", .actions(ActionFilter(), Self.page)),
        ("proposed actions", .actions(ActionFilter(orgID: org, state: .proposed), Self.page)),
        ("published actions", .actions(ActionFilter(orgID: org, state: .published), Self.page)),
        ("open actions for people", .actions(ActionFilter(orgID: org, channel: .human, isOpen: true), Self.page)),
      ]
      try await withReader(statistics) { wanted, plans in
        for (work, query) in queries { PlanTests.report(wanted.findings(try await plans(query), in: work)) }
      }
    }

    /// A filter by name, stage or risk is checked against all clients of the organisation. Each client costs at most
    /// two rows and an index entry.
    @Test(arguments: PlanHistory.Statistics.allCases)
    func aSearchReadsNoOtherOrganisationsClients(_ statistics: PlanHistory.Statistics) async throws {
      try await withReader(statistics) { wanted, plans in
        var wanted = wanted
        wanted.maxRows = 3 * PlanHistory.clients / 3 + 1000
        for filter in [
          ClientFilter(orgID: Self.organization, text: "no such name"),
          ClientFilter(orgID: Self.organization, stage: .billing),
          ClientFilter(orgID: Self.organization, riskLevel: .critical),
        ] {
          PlanTests.report(wanted.findings(try await plans(.clients(filter, Self.page)), in: "\(filter)"))
        }
      }
    }

    /// Counting reads all clients of an organisation and its events of 90 days, for at most a twentieth of the time.
    /// Readers of the map read the stored counts.
    @Test(arguments: PlanHistory.Statistics.allCases)
    func theMapIsCountedApartFromReadingIt(_ statistics: PlanHistory.Statistics) async throws {
      try await withReader(statistics) { wanted, plans in
        var wanted = wanted
        wanted.exempt = [MapSQL.countStages.sql, MapSQL.countFlows.sql]
        for query in [
          JourneyQuery.map(org: Self.organization, days: 30), .statistics(org: Self.organization, days: 30),
        ] {
          PlanTests.report(wanted.findings(try await plans(query), in: "\(query)"))
        }
      }
    }
  }
}
