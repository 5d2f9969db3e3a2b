import FoundationEssentials
import Journey
import PostgresClient
import TestServers
import Testing

@testable import JourneyPostgres

extension PlanTests {
  /// An id is looked up by indexes, though none starts with it.
  @Suite struct Traces {
    @Test(arguments: PlanHistory.Statistics.allCases)
    func anIdIsFoundWithoutReadingATable(_ statistics: PlanHistory.Statistics) async throws {
      let history = try await PlanTests.filled(statistics)
      let log = PlanLog(try await TestServers.shared())
      let worker = PostgresWorker(
        try PostgresSettings(conninfo: PlanLog.url(history.url), role: "journey_adapter"))
      let result: Result<Void, any Error>
      do {
        let wanted = try await history.rules()
        for orgID in [nil, PlanHistory.organization(0)] {
          let reader = TraceReader(worker: worker, orgID: orgID)
          let searches: [(String, () async throws -> Void)] = [
            ("an id that is nobody's", { _ = try await reader.events("nobody's") }),
            ("a vendor's id", { _ = try #require(try await reader.events("h30002-7").first) }),
            ("an event's id", { _ = try await reader.events(UUID().text) }),
            ("an action's id", { _ = try await reader.evaluation(UUID()) }),
            ("a kept event's id", { _ = try await reader.kept("nobody's") }),
            (
              "a client's newest events",
              { _ = try #require(try await reader.events(ofClient: PlanHistory.longClient, limit: 5).first) }
            ),
            (
              "a parked message's id",
              { _ = try await ParkedRepository(worker: worker).find(["nobody's"], parkedAs: [UUID()], orgID: orgID) }
            ),
          ]
          for (work, search) in searches { PlanTests.report(wanted.findings(try await log.plans(search), in: work)) }
        }
        result = .success(())
      } catch {
        result = .failure(error)
      }
      await worker.close()
      try result.get()
    }
  }
}
