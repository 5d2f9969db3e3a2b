import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// `/metrics` shows what goes wrong, and what operators do. On servers of its own.
@Suite(.serialized, .timeLimit(.minutes(10))) struct MetricsFaultTests {
  /// Waits until a scrape fulfils a condition.
  private func eventually(
    _ what: String, _ metrics: MetricsProbe, _ condition: (MetricsProbe.Scrape) -> Bool
  ) async throws {
    var last = ""
    try await TestSupport.eventually(what, state: { last }) {
      let scrape = try metrics.scrape()
      last = scrape.text
      return condition(scrape)
    }
  }

  @Test func holdsAlarmsAndLostConnectionsAreShown() async throws {
    var random = SeededRandom(stream: 127)
    let workload = Workload(events: 300, &random)
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await workload.seed(environment)
      try await environment.publish(workload.messages(duplicates: 0, &random))
      try await environment.succeed(["hold", "add", "--channel", "email", "--reason", "a test", "--actor", "ada"])
      try await servers.rabbitmqctl("set_vm_memory_high_watermark", "0.00001")
      let program = try await environment.serve(.literal)
      let metrics = try await MetricsProbe(program)
      try await eventually("the alarm", metrics) { $0["journey_broker_blocked_seconds_total"] ?? 0 > 0.5 }
      let waiting = try metrics.scrape()
      #expect(waiting["journey_actions_unconfirmed"] ?? 0 > 0 && waiting["journey_holds_open"] == 1)
      try await servers.rabbitmqctl("set_vm_memory_high_watermark", "0.6")

      let heldAttempts = #"journey_messages_published_total{message="action",outcome="held"}"#
      try await eventually("all but what is held", metrics) {
        // The outbox is written after the attempt, and what was read of it is kept for some seconds.
        $0["journey_events_stored_total"] == Double(workload.events.count) && $0["journey_actions_unpublished"] == 0
          && $0["journey_actions_unconfirmed"] == 0 && $0["journey_actions_held"] ?? 0 > 0
          && $0["journey_actions_held"] == $0[heldAttempts]
      }
      let held = try await environment.number("SELECT count(*) FROM journey_actions WHERE state = 'held'")
      let after = try metrics.scrape()
      #expect(after["journey_actions_held"] == Double(held))
      let blocked = try #require(after["journey_broker_blocked_seconds_total"])
      #expect(try metrics.scrape()["journey_broker_blocked_seconds_total"] == blocked, "the alarm is over")

      let before = ["ingest", "publish", "database"].map { after[Self.lost($0)] }
      #expect(before == [0, 0, 0])
      try await servers.rabbitmqctl("close_all_connections", "--global", "a test")
      #expect(
        try await environment.number(
          "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'journey'") > 0)
      var event = workload.events[0]
      event.id = "afterwards"
      try await TestSupport.eventually("a publisher again") {
        await environment.publisher.publish([event.message]).allSatisfy(\.isConfirmed)
      }
      try await eventually("lost and found again", metrics) { scrape in
        ["ingest", "publish", "database"].allSatisfy { scrape[Self.lost($0)] ?? 0 >= 1 }
          && scrape["journey_events_stored_total"] == Double(workload.events.count + 1)
          && scrape["journey_consuming"] == 1 && scrape["journey_database_up"] == 1
      }
      try await environment.stop(program)
    }
    try await servers.stop()
  }

  private static func lost(_ connection: String) -> String {
    #"journey_connections_lost_total{connection="\#(connection)"}"#
  }
}
