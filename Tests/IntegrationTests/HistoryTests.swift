import Foundation
import TestServers
import Testing

@testable import TestSupport

/// Events that the host application wrote before the client was new to the adapter count like all others.
@Suite struct HistoryTests {
  @Test(arguments: Profile.allCases)
  func hostsOwnEventsArePartOfTheResult(_ profile: Profile) async throws {
    var random = SeededRandom(stream: 5)
    var workload = Workload(events: 900, clients: 30, &random)
    var hosts: [WorkloadEvent] = []
    var sources: [WorkloadEvent] = []
    // The host's rows always set a stage and have no source, so types that keep the stage and values that only a
    // mapping reads are left out.
    for event in workload.events {
      let isHosts = Reference.stage(of: event.type, profile) != nil && event.nps == nil && random.chance(60)
      if isHosts { hosts.append(event) } else { sources.append(event) }
    }
    // Unique times: the order of a host's and a source's event with equal times depends on ids that only the host
    // knows.
    var taken = Set(sources.map(\.at))
    for index in hosts.indices {
      hosts[index].source = ""
      while !taken.insert(hosts[index].at).inserted { hosts[index].at -= 1 }
    }
    workload.events = hosts + sources
    let met = Set(sources.map(\.client))
    try #require(Set(hosts.map(\.client)).intersection(met).count > 10)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      let rows = hosts.map { event in
        let data = event.data.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''")
        return """
          ('\(event.client.id)', '\(event.client.org)', '\(Reference.stage(of: event.type, profile)!)', '\(event.type)', '\(data)', \
          '\(WorkloadEvent.rfc3339(event.at))')
          """
      }
      try await environment.execute(
        """
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type, metadata, occurred_at)
        VALUES \(rows.joined(separator: ","))
        """)
      try await environment.publish(sources.shuffled(using: &random).map(\.message), &random)
      let program = try await environment.serve(profile, ["PIPELINE_BATCH_SIZE": "60"])
      try await environment.settles(events: workload.events.count, program)
      try await environment.stop(program)
      for client in met {
        let row = try await environment.rows(
          """
          SELECT (extract(epoch FROM generated_at) * 1000000)::bigint, score::float8, risk_level,
            (SELECT string_agg(a.value, ',' ORDER BY a.ordinality) FROM jsonb_array_elements_text(recommended_actions) WITH ORDINALITY a),
            (SELECT stage || ' ' || array_to_string(risks, ',') FROM journey_client_state s WHERE s.client_id = c.client_id)
          FROM client_journey_scores c WHERE client_id = '\(client.id)' ORDER BY generated_at DESC LIMIT 1
          """)
        guard let row = row.first, let now = Int64(row[0]) else {
          Issue.record("client \(client.id) has no score")
          continue
        }
        let wanted = Reference(
          profile, workload.events.filter { $0.client == client }, aiScore: client.aiScore, now: now)
        let why: Comment = "client \(client.id), wanted \(wanted), JOURNEY_TEST_SEED=\(SeededRandom.seed)"
        #expect(abs((Double(row[1]) ?? -1) - wanted.score) < 1e-9, why)
        #expect(row[2] == wanted.level && row[3] == wanted.actions.joined(separator: ","), why)
        #expect(row[4] == "\(wanted.stage) \(wanted.risks.joined(separator: ","))", why)
      }
    }
  }

  /// The newest report may lack a figure. Then the newest one with a figure counts, however old.
  @Test func reportsWithoutAFigureHideNoneThatHasOne() async throws {
    var random = SeededRandom(stream: 12)
    var workload = Workload(events: 1, clients: 1, orgs: 1, &random)
    workload.events[0].type = "contract_signed"
    let client = workload.clients[0]
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      try await environment.execute(
        """
        INSERT INTO client_journey_events (client_id, org_id, stage, event_type, metadata, occurred_at)
        SELECT '\(client.id)', '\(client.org)', 'active_project', 'usage_reported',
          CASE WHEN n = 20 THEN '{"usage": 5}'::jsonb ELSE '{"usage": null}'::jsonb END, now() - n * interval '1 day'
        FROM generate_series(1, 20) AS n
        """)
      try await environment.publish(workload.events.map(\.message))
      let program = try await environment.serve(.defaultProfile)
      try await environment.settles(events: 21, program)
      try await environment.stop(program)
      #expect(
        try await environment.rows("SELECT 'low_feature_usage' = ANY (risks) FROM journey_client_state") == [["t"]])
    }
  }
}
