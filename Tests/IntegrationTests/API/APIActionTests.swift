import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// What people report of actions and take back, by the API and the command, while `journey serve` runs.
@Suite struct APIActionTests {
  private static let orgA = "0a000000-0000-4000-8000-00000000000a", orgB = "0a000000-0000-4000-8000-00000000000b"
  private static let atRisk = "0c000000-0000-4000-8000-0000000000a1", candidate = "0c000000-0000-4000-8000-0000000000a2"
  private static let member = "0d000000-0000-4000-8000-0000000000aa", stranger = "0d000000-0000-4000-8000-0000000000ab"
  private static let unknown = "0e000000-0000-4000-8000-000000000001"

  /// Two clients, one with an action for people, one with an action for a worker.
  private func seed(_ api: APIEnvironment) async throws -> (human: String, other: String) {
    try await api.environment.execute(
      """
      INSERT INTO organizations (id, name) VALUES ('\(Self.orgA)', 'Alpha'), ('\(Self.orgB)', 'Beta');
      INSERT INTO contacts (id, org_id, name, email, ai_score) VALUES
        ('\(Self.atRisk)', '\(Self.orgA)', 'Ada Alpha', 'ada@alpha.example', 60),
        ('\(Self.candidate)', '\(Self.orgA)', 'Anna Alpha', 'anna@alpha.example', 60);
      INSERT INTO user_organizations (user_id, org_id) VALUES
        ('\(Self.member)', '\(Self.orgA)'), ('\(Self.stranger)', '\(Self.orgB)');
      """)
    let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
    let events = [(Self.atRisk, "cancel_requested"), (Self.candidate, "usage_high")].map { client, type in
      WorkloadEvent(
        id: "\(client)-1", source: "/crm",
        client: WorkloadClient(id: client, org: Self.orgA, aiScore: "60", quietDays: 0, types: [], weight: 1),
        type: type, at: now - 3_600_000_000, sentiment: nil, invoice: nil)
    }
    try await api.environment.publish(events.map(\.message))
    try await api.environment.settles(events: events.count, api.program)
    func latest(_ condition: String) async throws -> String {
      let sql = "SELECT id FROM journey_actions WHERE \(condition) ORDER BY decided_at DESC LIMIT 1"
      return try #require(try await api.environment.rows(sql).first?.first, "no action with \(condition)")
    }
    // The list of people reports its actions as delivered.
    let human = try await latest("client_id = '\(Self.atRisk)' AND channel = 'human'")
    try await eventually("its delivery", state: { api.program.standardError }) {
      try await api.environment.rows("SELECT state FROM journey_actions WHERE id = '\(human)'") == [["delivered"]]
    }
    return (human, try await latest("client_id = '\(Self.candidate)' AND channel <> 'human' AND state = 'published'"))
  }

  private struct Person {
    let api: APIEnvironment
    let member = APIEnvironment.token(APIActionTests.member)
    let operators = APIEnvironment.token(APIActionTests.member, operations: true)

    func show(_ id: String) async throws -> [String: Any] {
      let answer = try await api.get("/api/journey/actions/\(id)", member)
      #expect(answer.status == 200, "\(answer.body)")
      return answer.json
    }

    func post(_ id: String, _ verb: String, _ body: String, as token: String? = nil) async throws
      -> APIEnvironment.Answer
    {
      try await api.send("POST", "/api/journey/actions/\(id)/\(verb)", token ?? member, body: body)
    }

    /// Waits until an action is in a state.
    func becomes(_ id: String, _ state: String) async throws {
      var now: [String: Any] = [:]
      try await eventually("the state \(state)", state: { "\(now) \(api.program.standardError.suffix(2000))" }) {
        now = try await show(id)
        return now["state"] as? String == state
      }
    }

    func run(_ arguments: String..., status: Int32 = 0) async throws -> String {
      let all = ["actions"] + arguments + ["--config", Profile.defaultProfile.configuration]
      let finished = try await api.environment.run(all, environment: ["JOURNEY_ACTOR": "ann"])
      #expect(finished.status == status, "\(arguments): \(finished.output) \(finished.errors)")
      return finished.output + finished.errors
    }
  }

  @Test func peopleReportOutcomes() async throws {
    try await APIEnvironment.with(["ACTIONS_HUMAN_LIST": "true"]) { api in
      let (id, _) = try await seed(api)
      let person = Person(api: api)
      let begin = try await person.show(id)
      #expect(begin["mayRun"] as? Bool == false && begin["because"] as? String == "delivered", "\(begin)")
      let all = try await api.get("/api/journey/actions?channel=human&open=true", person.member)
      #expect(all.body.contains(id), "\(all.body)")
      try await whatMakesNoSense(person, id)

      let until = Date().addingTimeInterval(86_400).ISO8601Format()
      let snoozed = try await person.post(
        id, "outcome", #"{"outcome":"snoozed","until":"\#(until)","detail":"Monday"}"#)
      #expect(snoozed.status == 202 && snoozed.json["status"] as? String == "accepted", "\(snoozed.body)")
      try await eventually("the snooze") { try await person.show(id)["snoozedUntil"] is String }
      let asleep = try await person.show(id)
      #expect(asleep["state"] as? String == "delivered", "\(asleep)")
      #expect(try await person.run("list", "--open").contains("snoozed until"))

      #expect(try await person.post(id, "outcome", #"{"outcome":"accepted"}"#).status == 202)
      try await person.becomes(id, "accepted")
      let done = try await person.show(id)
      #expect(done["mayRun"] as? Bool == false && done["because"] as? String == "accepted")
      let history = try #require(done["history"] as? [[String: Any]])
      #expect(history.map { $0["outcome"] as? String } == [nil, nil, "delivered", "snoozed", "accepted"], "\(history)")
      #expect(history[3]["detail"] as? String == "Monday" && history[4]["by"] as? String == "person:\(Self.member)")
      let again = try await person.post(id, "outcome", #"{"outcome":"accepted"}"#)
      #expect(again.status == 202 && again.json["status"] as? String == "known", "\(again.body)")
      let late = try await person.post(id, "outcome", #"{"outcome":"snoozed","until":"\#(until)"}"#)
      #expect(late.status == 409 && late.body.contains("accepted"), "\(late.body)")
      let open = try await api.get("/api/journey/actions?open=true&clientId=\(Self.atRisk)", person.member)
      #expect(open.status == 200 && !open.body.contains(id), "\(open.body)")
      let revoked = try await person.post(id, "revoke", #"{"reason":"too late"}"#, as: person.operators)
      #expect(revoked.status == 409 && revoked.body.contains("accepted"), "\(revoked.body)")
      #expect(try await person.run("revoke", id, "--reason", "too late", status: 65).contains("it is accepted"))
    }
  }

  /// Bad input has a clear answer, and changes nothing.
  private func whatMakesNoSense(_ person: Person, _ id: String) async throws {
    for (body, status, word) in [
      (#"{"outcome":"vanished"}"#, 400, "$.outcome"), (#"{"outcome":"accepted","until":"soon"}"#, 400, "$.until"),
      (#"{"outcome":"snoozed"}"#, 422, "$.until"),
      (#"{"outcome":"snoozed","until":"2020-01-01T00:00:00Z"}"#, 422, "$.until"),
      (#"{"outcome":"accepted","occurredAt":"2999-01-01T00:00:00Z"}"#, 422, "future"),
      (#"{"outcome":"accepted","occurredAt":"1999-01-01T00:00:00Z"}"#, 422, "before the action was decided"),
    ] {
      let answer = try await person.post(id, "outcome", body)
      #expect(answer.status == status && answer.body.contains(word), "\(body): \(answer.status) \(answer.body)")
    }
    let stranger = APIEnvironment.token(Self.stranger), accepted = #"{"outcome":"accepted"}"#
    let foreign = try await person.post(id, "outcome", accepted, as: stranger)
    let missing = try await person.post(Self.unknown, "outcome", accepted)
    #expect(foreign.status == 404 && missing.status == 404 && foreign.body == missing.body)
    #expect(try await person.post(id, "revoke", #"{"reason":"x"}"#).status == 403)
    #expect(try await person.post(Self.unknown, "revoke", #"{"reason":"x"}"#, as: person.operators).status == 404)
    #expect(try await person.run("outcome", Self.unknown, "accepted", status: 1).contains("there is no action"))
    #expect(try await person.run("outcome", id, "acepted", status: 65).contains("accepted"))
    #expect(try await person.run("outcome", id, "accepted", "--at", "2999-01-01", status: 65).contains("--at"))
    #expect(try await person.run("outcome", id, "snoozed", status: 65).contains("--until"))
    #expect(try await person.run("show", "x", status: 65).contains("UUID"))
    #expect(try await person.run("revoke", Self.unknown, "--reason", "x", status: 1).contains("there is no action"))
    #expect(try await person.run("list", "--state", "gone", status: 65).contains("--state"))
    #expect(try await person.run("outcome", id, "accepted", "--dry-run").contains("nothing was published"))
    #expect(try await person.run("revoke", id, "--reason", "x", "--dry-run").contains("it can be revoked"))
    #expect(try await person.api.environment.number("SELECT count(*) FROM journey_action_states") == 1)
  }

  @Test func whatIsRevokedReachesItsWorkerOnce() async throws {
    try await APIEnvironment.with(["ACTIONS_HUMAN_LIST": "true"]) { api in
      let (_, first) = try await seed(api)
      let person = Person(api: api)
      let begin = try await person.show(first)
      #expect(begin["mayRun"] as? Bool == true && begin["because"] is NSNull, "\(begin)")
      let channel = try #require(begin["channel"] as? String)
      #expect(try await person.run("revoke", first, "--reason", "x", "--dry-run").contains("nothing was changed"))
      #expect(try await person.show(first)["changedAt"] is NSNull)
      let answer = try await person.post(first, "revoke", #"{"reason":"paid by cheque"}"#, as: person.operators)
      #expect(answer.status == 202 && answer.json["status"] as? String == "accepted", "\(answer.body)")
      let revoked = try await person.show(first)
      #expect(revoked["state"] as? String == "revoked" && revoked["because"] as? String == "revoked", "\(revoked)")
      #expect(try await person.run("revoke", first, "--reason", "again").contains("before"))
      #expect(
        try await person.post(first, "revoke", #"{"reason":"again"}"#, as: person.operators).json["status"] as? String
          == "known")
      try await eventually("the revocation", state: { api.program.standardError }) {
        try await api.environment.number("SELECT count(*) FROM journey_action_states WHERE revocation = 'sent'") == 1
      }
      let listed = try await person.run("list", "--state", "revoked", "--json")
      let items = try #require(try JSONSerialization.jsonObject(with: Data(listed.utf8)) as? [[String: Any]])
      #expect(items.map { $0["id"] as? String } == [first])
      let messages = try await api.environment.drain("journey.actions.\(channel)").filter {
        $0.properties.messageID == "\(first)/revoked"
      }
      #expect(messages.count == 1)
      #expect(messages.allSatisfy { String(decoding: $0.body, as: UTF8.self).contains("paid by cheque") })

      // It was run all the same: what the world says counts.
      _ = try await person.run("outcome", first, "delivered", "--detail", "crossed the revocation")
      try await person.becomes(first, "delivered")
      let shown = try await person.run("show", first)
      for word in ["state delivered, must not run", "paid by cheque", "person:ann", "crossed the revocation"] {
        #expect(shown.contains(word), "\(shown)")
      }
      #expect(try await person.run("list", "--org", Self.orgB).contains("no actions"))
      let explained = try await api.environment.run(
        ["explain", Self.candidate, "--config", Profile.defaultProfile.configuration])
      #expect(explained.output.contains("crossed the revocation"), "\(explained.output) \(explained.errors)")
    }
  }
}
