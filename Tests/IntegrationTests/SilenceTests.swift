import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// A client that becomes silent is detected without an event.
@Suite struct SilenceTests {
  private static let org = "5b0f1d3e-0000-4000-8000-00000000000c"

  private func lead(_ id: String, client: String, daysAgo: Double) -> OutboundMessage {
    let time = Date(timeIntervalSinceNow: -daysAgo * 86_400).formatted(.iso8601)
    let body =
      #"{"specversion":"1.0","id":"\#(id)","source":"/crm","type":"lead_created","time":"\#(time)","subject":"\#(client)","orgid":"\#(Self.org)","data":{"name":"A"}}"#
    return OutboundMessage(
      exchange: "journey.events", routingKey: "crm.lead_created",
      properties: MessageProperties(contentType: "application/cloudevents+json", messageID: id), body: Array(body.utf8))
  }

  /// Three events that are nearly 30 days old: the third leaves the window while two instances run.
  @Test func aSilentClientHasLowEngagementOnceItIsDue() async throws {
    try await TestEnvironment.with { environment in
      try await environment.execute("INSERT INTO organizations (id, name) VALUES ('\(Self.org)', 'Acme')")
      let programs = [try await environment.serve(.defaultProfile), try await environment.serve(.defaultProfile)]
      let almost = 30 - 8 / 86_400.0
      try await environment.publish(
        (0..<20).flatMap { client in (0..<3).map { lead("\(client)-\($0)", client: "c\(client)", daysAgo: almost) } })
      try await environment.settles(events: 60, programs[0])
      let silent = "SELECT count(*) FROM journey_client_state WHERE 'low_engagement' = ANY(risks)"
      #expect(try await environment.number(silent) == 0)
      try await eventually("low engagement", within: .seconds(60), state: { "\(try await environment.number(silent))" })
      {
        try await environment.number(silent) == 20
      }
      let scores =
        "SELECT count(*) FROM client_journey_scores WHERE event_id IS NULL AND explanation->'cause'->>'type' = 'time_passed'"
      #expect(try await environment.number(scores) == 20)
      try await eventually("all actions published") {
        try await environment.number("SELECT count(*) FROM journey_actions WHERE published_at IS NULL") == 0
      }
      for program in programs { try await environment.stop(program) }
    }
  }

  @Test func anEvaluationOverTimeThatFailsShowsUntilItPasses() async throws {
    try await TestEnvironment.with { environment in
      try await environment.execute("INSERT INTO organizations (id, name) VALUES ('\(Self.org)', 'Acme')")
      let program = try await environment.serve(.defaultProfile)
      let probe = try await Probe(program)
      try await environment.publish((0..<3).map { lead("\($0)", client: "c", daysAgo: 31) })
      try await environment.settles(events: 3, program)
      // A full disk, but only for evaluations without an event.
      try await environment.execute(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON client_journey_scores FOR EACH ROW WHEN (NEW.event_id IS NULL) EXECUTE FUNCTION refuse();
        UPDATE journey_client_state SET score = 1, due_at = now() - interval '1 second', check_at = now() - interval '1 second'
        """)
      try await eventually("not ready", state: { try await probe.ready().body }) {
        let answer = try await probe.ready()
        return !answer.isReady && answer.body.contains(#""part":"time""#) && answer.body.contains("53100")
      }
      #expect(
        program.standardError.contains("clients cannot be evaluated as time passes, trying again"),
        "\(program.standardError)")
      // Events are still stored.
      try await environment.publish([lead("4", client: "d", daysAgo: 1)])
      try await environment.settles(events: 4, program)
      try await environment.execute("DROP TRIGGER refuse ON client_journey_scores")
      try await eventually("ready again", state: { try await probe.ready().body }) { try await probe.ready().isReady }
      try await eventually("the evaluation") {
        try await environment.number("SELECT count(*) FROM client_journey_scores WHERE event_id IS NULL") == 1
      }
      try await environment.stop(program)
      #expect(program.standardError.contains("evaluated_over_time=1"), "\(program.standardError)")
    }
  }
}
