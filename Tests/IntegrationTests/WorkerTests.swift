import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// The example workers keep to docs/workers.md. On a real broker.
@Suite(.timeLimit(.minutes(10))) struct WorkerTests {
  private func ids(_ count: Int) -> [String] { (0..<count).map { _ in UUID().uuidString.lowercased() } }

  @Test(arguments: ExampleWorker.allCases)
  func eachActionIsRunOnceAndReported(_ worker: ExampleWorker) async throws {
    try await WorkerStage.with(worker) { stage in
      let child = try await stage.start()
      let ids = ids(20)
      let messages = try ids.map { try stage.action($0) }
      try await stage.environment.publish(messages + messages)
      try await stage.environment.publish([
        try stage.message("foreign", "x", ["type": "foreign", "data": [:]]),
        OutboundMessage(
          exchange: "journey.actions", routingKey: "\(worker.rawValue).a.low", properties: MessageProperties(),
          body: Array("{".utf8)),
      ])
      let outcomes = try await stage.outcomes(22)
      try await stage.environment.publish(Array(messages.prefix(3)))
      try await stage.stop(child)
      #expect(try await stage.environment.admin.messageCount(queue: "journey.outcomes") == 0)
      #expect(stage.ran.sorted() == ids.sorted())
      let reports = outcomes.filter { $0.properties.type == "journey.action.outcome.v1" }
      #expect(outcomes.filter { $0.routingKey == "dead.\(worker.rawValue)" }.count == 2 && reports.count == 20)
      #expect(try WorkerStage.summary(reports) == ids.map { "\($0) delivered" }.sorted())
      #expect(Set(reports.compactMap(\.properties.messageID)) == Set(ids.map { "\($0)/delivered" }))
      #expect(reports.allSatisfy { $0.properties.userID == stage.user && $0.properties.isPersistent })
      try await validate("outcome", reports.map { String(decoding: $0.body, as: UTF8.self) })
    }
  }

  @Test(arguments: ExampleWorker.allCases)
  func failuresAreReported(_ worker: ExampleWorker) async throws {
    try await WorkerStage.with(worker) { stage in
      let child = try await stage.start()
      let ids = ids(2)
      try stage.exit(with: 67)
      try await stage.environment.publish([try stage.action(ids[0])])
      let reported = try WorkerStage.summary(try await stage.outcomes(1))
      #expect(reported == ["\(ids[0]) \(worker == .email ? "bounced" : "failed")"])
      // For now: it is tried again.
      try stage.exit(with: 75)
      try await stage.environment.publish([try stage.action(ids[1])])
      try await eventually("a second run") { stage.ran.count == 3 }
      try stage.exit(with: 0)
      #expect(try WorkerStage.summary(try await stage.outcomes(1)) == ["\(ids[1]) delivered"])
      try await stage.stop(child)
      #expect(stage.ran.filter { $0 == ids[0] }.count == 1)
    }
  }

  @Test(arguments: ExampleWorker.allCases)
  func timesAndRevocationsAreHonoured(_ worker: ExampleWorker) async throws {
    try await WorkerStage.with(worker) { stage in
      let child = try await stage.start()
      let ids = ids(5), sent = Date.now
      try await stage.environment.publish([
        try stage.action(ids[0], notBefore: 2), try stage.action(ids[1], expiresAt: -1),
        // It expires while it waits.
        try stage.action(ids[2], notBefore: 2, expiresAt: 1),
        try stage.action(ids[3], notBefore: 2), try stage.revocation(ids[3]),
        // Before the action itself.
        try stage.revocation(ids[4]),
      ])
      try await stage.environment.publish([try stage.action(ids[4])])
      #expect(try WorkerStage.summary(try await stage.outcomes(1)) == ["\(ids[0]) delivered"])
      try await stage.stop(child)
      #expect(stage.ran == [ids[0]])
      #expect(try #require(stage.runs.first).at.timeIntervalSince(sent) >= 2)
    }
  }

  @Test(arguments: ExampleWorker.allCases)
  func theAdapterIsAskedBeforeARun(_ worker: ExampleWorker) async throws {
    try await WorkerStage.with(worker) { stage in
      try await stage.serveAnswers { api in
        let ids = ids(4)
        try stage.answer(ids[0], mayRun: true)
        try stage.answer(ids[1], mayRun: false, because: "held")
        try stage.answer(ids[2], mayRun: false, because: "revoked")
        // The last one gets no answer.
        let child = try await stage.start(api: api)
        try await stage.environment.publish(try ids.map { try stage.action($0) })
        #expect(try WorkerStage.summary(try await stage.outcomes(1)) == ["\(ids[0]) delivered"])
        #expect(stage.ran == [ids[0]])
        try stage.answer(ids[1], mayRun: true)
        #expect(try WorkerStage.summary(try await stage.outcomes(1)) == ["\(ids[1]) delivered"])
        try await stage.stop(child, leaving: 1)
        #expect(stage.ran == [ids[0], ids[1]])
      }
    }
  }

  /// Nothing is lost, and only what was under way between its run and its ack is run again.
  @Test(arguments: ExampleWorker.allCases)
  func aKillLosesNothing(_ worker: ExampleWorker) async throws {
    try await WorkerStage.with(worker) { stage in
      let ids = ids(3)
      // While it waits.
      var child = try await stage.start()
      try await stage.environment.publish([try stage.action(ids[0], notBefore: 3)])
      try await eventually("a delivery") {
        try await stage.environment.admin.messageCount(queue: stage.queue) == 0
      }
      await stage.kill(child)
      #expect(stage.ran == [])
      child = try await stage.start()
      #expect(try WorkerStage.summary(try await stage.outcomes(1)) == ["\(ids[0]) delivered"])
      #expect(stage.ran == [ids[0]])

      // While it runs.
      try stage.block(true)
      try await stage.environment.publish([try stage.action(ids[1])])
      try await eventually("a run") { stage.ran.count == 2 }
      await stage.kill(child)
      try stage.block(false)
      child = try await stage.start()
      #expect(try WorkerStage.summary(try await stage.outcomes(1)) == ["\(ids[1]) delivered"])
      #expect(stage.ran == [ids[0], ids[1], ids[1]])

      // Before its report is confirmed: no queue takes it.
      let binding = Binding(queue: "journey.outcomes", exchange: "journey.outcomes", routingKey: "#")
      try await stage.environment.admin.unbind(binding)
      try await stage.environment.publish([try stage.action(ids[2])])
      try await eventually("a report that is returned", state: { child.standardError }) {
        child.standardError.contains("is not reported")
      }
      await stage.kill(child)
      try await stage.environment.admin.bind(binding)
      child = try await stage.start()
      #expect(try WorkerStage.summary(try await stage.outcomes(1)) == ["\(ids[2]) delivered"])
      #expect(stage.ran == [ids[0], ids[1], ids[1], ids[2], ids[2]])

      // After the ack.
      await stage.kill(child)
      child = try await stage.start()
      try await stage.stop(child)
      #expect(stage.ran.count == 5)
      #expect(try await stage.environment.admin.messageCount(queue: "journey.outcomes") == 0)
    }
  }

  @Test(arguments: ExampleWorker.allCases)
  func aStopFinishesWhatRunsAndALostConnectionRepeatsNothing(_ worker: ExampleWorker) async throws {
    try await WorkerStage.with(worker) { stage in
      let child = try await stage.start()
      let ids = ids(3)
      try stage.block(true)
      try await stage.environment.publish([try stage.action(ids[0])])
      try await eventually("a run") { stage.ran == [ids[0]] }
      // The broker delivers it again, on a new connection, while it runs.
      try await stage.environment.servers.erlang(
        """
        [rabbit_networking:close_connection(P, "test") || \
        [{pid, P}, {vhost, V}, {user, U}] <- rabbit_networking:connection_info_all([pid, vhost, user]), \
        V =:= <<"\(stage.environment.vhost)">>, U =:= <<"\(stage.user)">>]
        """)
      try await eventually("a consumer again", state: { child.standardError }) {
        try await stage.environment.admin.states(of: [stage.queue])[stage.queue] == QueueState(ready: 0, consumers: 1)
      }
      try stage.block(false)
      #expect(try WorkerStage.summary(try await stage.outcomes(1)) == ["\(ids[0]) delivered"])

      try stage.block(true)
      try await stage.environment.publish([try stage.action(ids[1]), try stage.action(ids[2], notBefore: 3000)])
      try await eventually("a run") { stage.ran.count == 2 }
      try await eventually("deliveries") { try await stage.environment.admin.messageCount(queue: stage.queue) == 0 }
      child.send(SIGTERM)
      try await eventually("the stop's beginning") { child.standardError.contains("stopping") }
      try stage.block(false)
      try await stage.stop(child, leaving: 1)
      #expect(try WorkerStage.summary(try await stage.outcomes(1)) == ["\(ids[1]) delivered"])
      #expect(stage.ran == [ids[0], ids[1]])
    }
  }

  /// From the event to the state of the action: of a call, and of an action that people find on the page.
  @Test func theAdapterLearnsWhatBecameOfAnAction() async throws {
    try await WorkerStage.with(.voice, isMigrated: true) { stage in
      let environment = stage.environment
      let org = UUID().uuidString.lowercased(), clients = ids(2)
      try await environment.execute("INSERT INTO organizations (id, name) VALUES ('\(org)', 'Acme')")
      for client in clients {
        try await environment.execute(
          "INSERT INTO contacts (id, org_id, name, email) VALUES ('\(client)', '\(org)', 'Ada', 'ada@acme.example')")
      }
      let adapter = try await environment.serve(.defaultProfile, ["ACTIONS_HUMAN_LIST": "true"])
      let worker = try await stage.start()
      for (client, type) in zip(clients, ["invoice_overdue", "cancel_requested"]) {
        let event = """
          {"specversion":"1.0","id":"\(type)","source":"/billing","type":"\(type)","time":"\(Date.now.ISO8601Format())",
          "subject":"\(client)","orgid":"\(org)","data":{"invoiceId":"in_1"}}
          """
        try await environment.publish([
          OutboundMessage(
            exchange: "journey.events", routingKey: "billing.\(type)",
            properties: MessageProperties(contentType: "application/cloudevents+json"), body: Array(event.utf8))
        ])
      }
      let sql = """
        SELECT a.client_id, a.channel, a.state, a.history -> -1 ->> 'by'
        FROM journey_actions a ORDER BY a.client_id = '\(clients[0])' DESC
        """
      var rows: [[String]] = []
      try await eventually(
        "both delivered", state: { "\(rows) \(adapter.standardError.suffix(2000)) \(worker.standardError)" }
      ) {
        rows = try await environment.rows(sql)
        return rows.count == 2 && rows.allSatisfy { $0[2] == "delivered" }
      }
      #expect(
        rows == [
          [clients[0], "voice", "delivered", "worker:\(stage.user)"], [clients[1], "human", "delivered", "journey"],
        ])
      try await environment.stop(adapter)
      try await stage.stop(worker)
      #expect(stage.ran.count == 1)
      for queue in ["journey.actions.human", "journey.outcomes", "journey.dead-letters"] {
        #expect(try await environment.admin.messageCount(queue: queue) == 0, "\(queue)")
      }
    }
  }
}
