import AMQPClient
import Foundation
import Glibc
import PostgresClient
import TestServers
import Testing
@testable import TestSupport

extension OutboundMessage {
  /// An event of a client outside the workload.
  static func doomed(_ id: String, client: String, org: String) -> OutboundMessage {
    let body =
      #"{"specversion":"1.0","id":"\#(id)","source":"/crm/acme","type":"ticket_opened","time":"2026-01-01T00:00:00Z","#
      + #""subject":"\#(client)","orgid":"\#(org)","data":{}}"#
    return OutboundMessage(
      exchange: "journey.events", routingKey: "test.doomed",
      properties: MessageProperties(contentType: "application/cloudevents+json", messageID: id),
      body: Array(body.utf8))
  }
}

extension FaultRun {
  /// Waits until `count` events of the workload are stored. Other events do not count.
  func stored(_ count: Int, within limit: Duration) async throws {
    let others = outsiders.map { "'\($0)'" }.joined(separator: ",")
    let query =
      "SELECT count(*) FROM client_journey_events" + (others.isEmpty ? "" : " WHERE client_id NOT IN (\(others))")
    try await eventually("\(count) stored events", within: limit, state: { self.logs }) {
      ((try? await self.environment.number(query)) ?? 0) >= count
    }
  }

  /// Kills the program several times, and restarts it whenever it has ended, as a supervisor does. Returns once it has
  /// run for two seconds, or was started more often than the delivery limit, and `isDone` holds.
  func supervised(kills: Int, starts: Int, until isDone: () async throws -> Bool) async throws {
    var left = kills
    var begun = 0
    var alive = 0
    let queues =
      "[rabbit_amqqueue:info(Q, [name, messages_ready, messages_unacknowledged]) || Q <- rabbit_amqqueue:list(<<\"\(environment.vhost)\">>)]"
    try await eventually(
      "the end of it", within: .seconds(120),
      state: { "\(self.logs) \(try await self.environment.servers.erlang(queues))" }
    ) {
      if self.programs.allSatisfy({ $0.ending != nil }) {
        guard begun < starts else { return try await isDone() }
        (begun, alive) = (begun + 1, 0)
        _ = try self.start()
      }
      guard let program = self.programs.last(where: { $0.ending == nil }), program.standardError.contains("consuming")
      else { return false }
      // Gives the program time to process its deliveries.
      try await Task.sleep(for: .milliseconds(Int.random(in: 50...500, using: &self.random)))
      guard left == 0 else {
        left -= 1
        program.send(SIGKILL)
        _ = await program.ended(within: .seconds(10))
        return false
      }
      alive += 1
      guard alive > 8 else { return false }
      return try await isDone()
    }
    if programs.allSatisfy({ $0.ending != nil }) { try await serve() }
  }
}

extension TestEnvironment {
  func limitActionQueues() async throws {
    try await servers.erlang(
      "rabbit_policy:set(<<\"\(vhost)\">>, <<\"full\">>, <<\"^journey.actions\">>, "
        + "[{<<\"max-length\">>, 5}, {<<\"overflow\">>, <<\"reject-publish\">>}], 0, <<\"queues\">>, <<\"test\">>)")
  }

  func liftLimit() async throws {
    try await servers.erlang("rabbit_policy:delete(<<\"\(vhost)\">>, <<\"full\">>, <<\"test\">>)")
  }

  /// Executes a statement as a member of the organisations. Writes that members may not make change nothing.
  func write(asMemberOf orgs: [String], _ statement: String) async throws {
    let user = "00000000-0000-4000-8000-0000000000aa"
    let rows = orgs.map { "('\(user)', '\($0)')" }.joined(separator: ",")
    try await execute("INSERT INTO user_organizations (user_id, org_id) VALUES \(rows) ON CONFLICT DO NOTHING")
    try await database.perform { connection in
      try connection.begin()
      try connection.execute("SET LOCAL ROLE authenticated")
      try connection.execute(#"SELECT set_config('request.jwt.claims', '{"sub":"\#(user)"}', true)"#)
      do {
        try connection.execute(statement)
        try connection.commit()
      } catch let error as PostgresError where error.sqlState == "42501" || error.sqlState?.hasPrefix("23") == true {
        try connection.rollback()
      }
    }
  }
}
