import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// `/metrics` says what the database and the broker say, and answers whatever they do.
@Suite(.timeLimit(.minutes(10))) struct MetricsTests {
  private static func cloudEvent(
    _ id: String, type: String = "invoice_sent", client: String, org: String, _ timestamp: Date? = nil
  ) -> OutboundMessage {
    let time = WorkloadEvent.rfc3339(Int64(Date.now.timeIntervalSince1970 - 86_400) * 1_000_000)
    let body =
      #"{"specversion":"1.0","id":"\#(id)","source":"/x","type":"\#(type)","time":"\#(time)","subject":"\#(client)","orgid":"\#(org)","data":{}}"#
    return OutboundMessage(
      exchange: "journey.events", routingKey: "x.\(type)",
      properties: MessageProperties(
        contentType: "application/cloudevents+json", timestamp: timestamp.map { Int64($0.timeIntervalSince1970) }),
      body: Array(body.utf8))
  }

  /// What is no event: of an unknown type, malformed, of an unknown client, and of a vendor's unknown type.
  private static func others(_ client: WorkloadClient) -> [OutboundMessage] {
    let vendor = OutboundMessage(
      exchange: "journey.events", routingKey: "stripe.x",
      properties: MessageProperties(
        contentType: "application/json", headers: ["x-source": "stripe", "x-org-id": .string(client.org)]),
      body: Array(#"{"id":"evt_x","object":"event","type":"invoice.exploded","data":{"object":{}}}"#.utf8))
    var malformed = cloudEvent("m", client: client.id, org: client.org)
    malformed.body = Array("{".utf8)
    return [
      cloudEvent("t", type: "frobnicated", client: client.id, org: client.org), malformed,
      cloudEvent("c", client: UUID().uuidString.lowercased(), org: client.org), vendor,
    ]
  }

  @Test func countsAreThoseOfTheServers() async throws {
    var random = SeededRandom(stream: 126)
    let workload = Workload(events: 150, clients: 12, orgs: 6, &random)
    let client = workload.clients[0]
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      let good = workload.messages(duplicates: 20, &random)
      // An hour ago, as the sender says, and in an hour: somebody's clock is wrong.
      let stamped = [-3600.0, 3600].map {
        Self.cloudEvent("s\($0)", client: client.id, org: client.org, Date.now + $0)
      }
      try await environment.publish(
        (good + stamped + Self.others(client)).shuffled(using: &random))
      let program = try await environment.serve(.literal, ["RETRY_UNKNOWN_CLIENT": "true", "RETRY_TIERS": "1h"])
      try await environment.settles(events: workload.events.count + stamped.count, program)
      try await eventually("two dead letters", state: { program.standardError }) {
        try await environment.admin.messageCount(queue: "journey.dead-letters") == 2
      }
      let action = try await environment.rows("SELECT id FROM journey_actions ORDER BY id LIMIT 1")[0][0]
      try await environment.succeed(["actions", "outcome", action, "delivered"])
      let metrics = try await MetricsProbe(program)
      let kind = try await environment.rows("SELECT action FROM journey_actions WHERE id = '\(action)'")[0][0]
      let outcome = #"journey_outcomes_stored_total{action="\#(kind)",outcome="delivered"}"#
      var scrape = try metrics.scrape()
      // What was read of the servers is kept for some seconds.
      try await eventually("the outcome, and what the servers say of it", state: { scrape.text }) {
        scrape = try metrics.scrape()
        return scrape[outcome] == 1 && scrape["journey_oldest_unprocessed_event_seconds"] == 0
          && scrape["journey_actions_unpublished"] == 0
          && scrape[#"journey_queue_messages{queue="journey.dead-letters"}"#] == 2
      }

      let published = try await environment.number(
        "SELECT count(*) FROM journey_actions WHERE published_at IS NOT NULL")
      #expect(published > 0)
      let total = good.count + stamped.count + 4
      let expected: [String: Int] = [
        "journey_messages_received_total": total + 1,
        "journey_events_stored_total": try await environment.number("SELECT count(*) FROM client_journey_events"),
        "journey_events_duplicate_total": good.count - workload.events.count,
        "journey_messages_ignored_total": 1, "journey_events_unlisted_total": 1,
        "journey_messages_sent_in_future_total": 1,
        #"journey_messages_rejected_total{reason="unknown_type"}"#: 1,
        #"journey_messages_rejected_total{reason="malformed"}"#: 1,
        #"journey_messages_rejected_total{reason="unknown_client"}"#: 1,
        #"journey_messages_retried_total{tier="1h"}"#: 1, "journey_messages_dead_lettered_total": 2,
        "journey_messages_postponed_total": 0, "journey_messages_in_hand": 0,
        #"journey_messages_published_total{message="action",outcome="confirmed"}"#: published,
        #"journey_messages_published_total{message="action",outcome="returned"}"#: 0,
        "journey_critical_time_seconds_count": published, "journey_actions_failing": 0, "journey_actions_held": 0,
        "journey_oldest_unpublished_action_seconds": 0, "journey_holds_open": 0, "journey_dead_letters_open": 0,
        "journey_database_up": 1, "journey_broker_up": 1, "journey_consuming": 1, "journey_publishing": 1,
        "journey_paused": 0, "journey_instances": 1, "journey_loops_stuck": 0, "journey_metrics_series_dropped": 0,
      ]
      for (series, value) in expected { #expect(scrape[series] == Double(value), "\(series)") }
      for channel in ["email", "voice", "human"] {
        let queue = "journey.actions.\(channel)"
        let depth = Double(try await environment.admin.messageCount(queue: queue))
        #expect(scrape[#"journey_queue_messages{queue="\#(queue)"}"#] == depth)
      }
      // One, or two while bodies are small.
      #expect(scrape[#"journey_queue_consumers{queue="journey.ingest"}"#]! >= 1)
      #expect(scrape["journey_commit_events_sum"]! >= Double(good.count))
      // The one that was sent an hour ago.
      let within = scrape[#"journey_critical_time_seconds_bucket{le="1800"}"#]!
      #expect(within < Double(published) && scrape["journey_critical_time_seconds_sum"]! > 3600)
      #expect(scrape["process_resident_memory_bytes"]! > 1_000_000 && scrape["process_start_time_seconds"]! > 1e9)

      #expect(scrape.values.count <= 400)
      try check(scrape, hides: workload)
      try await environment.stop(program)
    }
  }

  /// The names are those of docs/metrics.md, and nothing says who is concerned.
  private func check(_ scrape: MetricsProbe.Scrape, hides workload: Workload) throws {
    let page = try String(contentsOfFile: "\(Repository.root)/docs/metrics.md", encoding: .utf8)
    let documented = Set(
      page.split(separator: "\n").compactMap { $0.firstMatch(of: /^\| `([a-z_]+)` \|/).map { String($0.1) } })
    // There is no TLS here.
    #expect(scrape.names == documented.subtracting(["journey_certificate_expiry_seconds"]))
    for id in workload.orgs + workload.clients.map(\.id) + workload.events.map(\.id) {
      #expect(!scrape.text.contains(id))
    }
    #expect(!scrape.text.contains("@"))
  }

  /// A server that hangs makes its values absent; the rest is answered in time.
  @Test func aServerThatHangsHoldsUpNothing() async throws {
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      let program = try await environment.serve(.defaultProfile, ["PIPELINE_DRAIN_SECONDS": "5"])
      let metrics = try await MetricsProbe(program)
      let all: Set = ["journey_actions_unpublished", "journey_clients_due", "journey_queue_messages"]
      for (frozen, up, absent) in [
        (TestServers.Kind.postgres, "journey_database_up", all.subtracting(["journey_queue_messages"])),
        (.rabbitmq, "journey_broker_up", ["journey_queue_messages"]),
      ] {
        try await eventually("both servers", state: { program.standardError }) {
          let scrape = try metrics.scrape()
          return scrape["journey_database_up"] == 1 && scrape["journey_broker_up"] == 1
            && all.isSubset(of: scrape.names)
        }
        try await servers.pause(frozen)
        var scrape = try metrics.scrape()
        try await eventually("the absence", state: { scrape.text }) {
          scrape = try metrics.scrape()
          return scrape[up] == 0
        }
        #expect(scrape.names.intersection(absent).isEmpty && all.subtracting(absent).isSubset(of: scrape.names))
        #expect(scrape["journey_events_stored_total"] == 0)
        try await servers.resume(frozen)
      }
      try await eventually("both again") {
        let scrape = try metrics.scrape()
        return scrape["journey_database_up"] == 1 && scrape["journey_broker_up"] == 1
      }
      program.send(SIGTERM)
      _ = await program.ended(within: .seconds(40))
    }
    try await servers.stop()
  }

  @Test func theyAreOnlyOnTheProbesAddressAndCanBeSwitchedOff() async throws {
    try await TestEnvironment.with { environment in
      let program = try await environment.serve(.defaultProfile)
      let api = try await HTTPPort.find("address=", program)
      #expect(try HTTPPort.ask("/metrics", api).status == 404)
      #expect(try HTTPPort.ask("/metrics", try await HTTPPort.find("probes=", program)).status == 200)
      try await environment.stop(program)
      let silent = try await environment.serve(.defaultProfile, ["PROBES_METRICS": "false"])
      let probes = try await HTTPPort.find("probes=", silent)
      #expect(try HTTPPort.ask("/metrics", probes).status == 404)
      #expect(try HTTPPort.ask("/live", probes).status == 200)
      try await environment.stop(silent)
    }
  }
}
