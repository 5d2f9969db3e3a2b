import AMQPClient
import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// A trigger of the host lacks a privilege. The database refuses to store events, which only an operator can fix.
@Suite struct CommitRefusalTests {
  /// Adds an audit table that the adapter's role may not write to.
  /// - Parameter condition: restricts the rows that the trigger audits.
  private func addTrigger(_ environment: TestEnvironment, when condition: String) async throws {
    for sql in [
      "CREATE TABLE host_audit (event uuid)",
      "CREATE FUNCTION host_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO host_audit VALUES (NEW.id); RETURN NEW; END $$",
      "CREATE TRIGGER host_audit AFTER INSERT ON client_journey_events FOR EACH ROW WHEN (\(condition)) EXECUTE FUNCTION host_audit()",
    ] { try await environment.execute(sql) }
  }

  /// A program that is killed before it acknowledges a deferred message receives it twice.
  private func nothingWaits(_ environment: TestEnvironment) async throws {
    for queue in ["journey.retry.10s", "journey.ingest"] {
      try await eventually("an empty \(queue)") { try await environment.admin.messageCount(queue: queue) == 0 }
    }
  }

  @Test func ifNoCommitPassesNoEventIsRejected() async throws {
    var random = SeededRandom(stream: 41)
    let workload = Workload(events: 3000, &random)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      try await addTrigger(environment, when: "true")
      try await environment.publish(workload.messages(duplicates: 0, &random), &random)
      var program = try await environment.serve(.defaultProfile)
      for _ in 0..<10 {
        try await eventually("a closed gate", state: { program.standardError }) {
          program.standardError.contains("the database accepts no batch")
        }
        #expect(program.ending == nil)
        program.send(SIGKILL)
        _ = await program.ended(within: .seconds(10))
        program = try await environment.serve(.defaultProfile)
      }
      let probe = try await Probe(program)
      try await eventually("not ready", state: { try await probe.ready().body }) {
        try await probe.ready().body.contains(
          #"{"part":"commits","reason":"the database denies a privilege (SQLSTATE 42501)"}"#)
      }
      #expect(try await !probe.ready().isReady)
      // Trial commits continue, at little cost.
      try await eventually("some trials", state: { program.standardError }) {
        program.standardError.components(separatedBy: "trying a few events").count > 3
      }
      #expect(program.ending == nil)
      #expect(try await environment.number("SELECT count(*) FROM client_journey_events") == 0)
      #expect(try await environment.admin.messageCount(queue: "journey.dead-letters") == 0)

      try await environment.execute("GRANT INSERT ON host_audit TO journey_adapter")
      try await environment.settles(events: workload.events.count, within: .seconds(180), program)
      try await eventually("ready again", state: { try await probe.ready().body }) { try await probe.ready().isReady }
      try await nothingWaits(environment)
      try await environment.stop(program)
      #expect(try await environment.admin.messageCount(queue: "journey.dead-letters") == 0)
      try await Invariants(environment, workload, .defaultProfile).check()
    }
  }

  @Test func whereSomePassOnlyWhatIsRefusedIsRejected() async throws {
    var random = SeededRandom(stream: 42)
    let workload = Workload(events: 800, &random)
    let refused = workload.events.filter { $0.type == "ticket_opened" }.count
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      try await addTrigger(environment, when: "NEW.event_type = 'ticket_opened'")
      try await environment.publish(workload.messages(duplicates: 0, &random), &random)
      let program = try await environment.serve(.defaultProfile)
      let others = workload.events.count - refused
      try await eventually(
        "all others", within: .seconds(120), state: { program.standardError.suffix(3000).description }
      ) {
        try await environment.number("SELECT count(*) FROM client_journey_events") == others
      }
      // The last refused event takes a later one with it.
      var last = workload.events.first { $0.type != "ticket_opened" }!
      for number in 0..<200 where try await environment.admin.messageCount(queue: "journey.dead-letters") < refused {
        last.id = "late-\(number)"
        try await environment.publish([last.message])
        try await Task.sleep(for: .seconds(1))
      }
      let deadLetters = try await environment.drain("journey.dead-letters")
      let ids = deadLetters.map { String(decoding: $0.body, as: UTF8.self).split(separator: "\"")[7] }
      #expect(
        deadLetters.count == refused,
        "\(Dictionary(ids.map { ($0, 1) }, uniquingKeysWith: +).filter { $0.value > 1 }) \(program.standardError)")
      #expect(
        deadLetters.allSatisfy { $0.properties.headers["x-journey-reason-code"] == .string("refused_by_database") })
      try await environment.stop(program)
    }
  }

  @Test func aHostsTemporaryFaultLosesNothing() async throws {
    var random = SeededRandom(stream: 43)
    let workload = Workload(events: 2000, &random)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      try await addTrigger(environment, when: "true")
      try await environment.execute("GRANT INSERT ON host_audit TO journey_adapter")
      let program = try await environment.serve(.defaultProfile, ["PIPELINE_BATCH_SIZE": "50"])
      let messages = workload.messages(duplicates: 0, &random)
      for part in 0..<4 {
        try await environment.publish(Array(messages[(part * messages.count / 4)..<((part + 1) * messages.count / 4)]))
        try await environment.execute("REVOKE INSERT ON host_audit FROM journey_adapter")
        try await Task.sleep(for: .milliseconds(300))
        try await environment.execute("GRANT INSERT ON host_audit TO journey_adapter")
      }
      try await environment.settles(events: workload.events.count, within: .seconds(180), program)
      try await nothingWaits(environment)
      try await environment.stop(program)
      #expect(try await environment.admin.messageCount(queue: "journey.dead-letters") == 0)
      try await Invariants(environment, workload, .defaultProfile).check()
    }
  }
}
