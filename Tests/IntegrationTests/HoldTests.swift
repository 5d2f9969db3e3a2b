import AMQPClient
import Foundation
import Glibc
import Journey
import TestServers
import Testing

@testable import TestSupport

/// `journey hold`: what is held is not published, whatever was decided before; the rest is.
@Suite struct HoldTests {
  struct Held: Decodable {
    var id: Int
    var state: String
    var channel: String?
    var action: String?
    var orgId: UUID?
    var by: String
    var reason: String
    var actions: Int
  }
  private struct Added: Decodable {
    var hold: Held
    var confirmed: Bool
    var instances: [Instance]
  }
  private struct Instance: Decodable {
    var id: String
    var answer: String
  }

  private func add(_ environment: TestEnvironment, _ options: String...) async throws -> (
    id: Int, answers: [String: String]
  ) {
    let answer = try await environment.succeed(
      ["hold", "add", "--reason", "a test", "--actor", "ada", "--json"] + options)
    let added = try JSONDecoder().decode(Added.self, from: Data(answer.utf8))
    #expect(added.confirmed && added.hold.state == "open" && added.hold.by == "ada" && added.hold.reason == "a test")
    return (added.hold.id, Dictionary(uniqueKeysWithValues: added.instances.map { ($0.id, $0.answer) }))
  }

  private func holds(_ environment: TestEnvironment, _ options: String...) async throws -> [Held] {
    try JSONDecoder().decode(
      [Held].self, from: Data(try await environment.succeed(["hold", "list", "--json"] + options).utf8))
  }

  /// The messages in the queues of actions, by organisation, action and channel.
  private func published(_ environment: TestEnvironment) async throws -> [[String]: Int] {
    var found: [[String]: Int] = [:]
    for channel in ["email", "voice", "human"] {
      for delivery in try await environment.drain("journey.actions.\(channel)") {
        let root = try JSONDocument(parsing: delivery.body).root
        found[[root["orgid"]?.string ?? "", root["data"]?["action"]?.string ?? "", channel], default: 0] += 1
      }
    }
    return found
  }

  /// Actions by organisation, action, channel and state.
  private func states(_ environment: TestEnvironment, _ state: String) async throws -> [[String]: Int] {
    let rows = try await environment.rows(
      "SELECT org_id, action, channel, count(*) FROM journey_actions WHERE state = '\(state)' GROUP BY 1, 2, 3")
    return Dictionary(uniqueKeysWithValues: rows.map { (Array($0.prefix(3)), Int($0[3])!) })
  }

  @Test func whatMatchesIsHeldAndTheRestIsPublished() async throws {
    var random = SeededRandom(stream: 240)
    let workload = Workload(events: 600, &random)
    let org = workload.orgs[0]
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      var programs: [ChildProcess] = []
      for name in ["one", "two"] {
        programs.append(try await environment.serve(.literal, ["INSTANCE_NAME": name, "PIPELINE_BATCH_SIZE": "40"]))
      }
      // By channel; by action in one organisation.
      let email = try await add(environment, "--channel", "email")
      #expect(email.answers == ["one": "confirmed", "two": "confirmed"])
      let ofOrg = try await add(environment, "--org", org, "--action", "concierge_personal_intervention")
      try await environment.publish(workload.messages(duplicates: 0, &random))
      try await eventually("all is decided", state: { programs.map(\.standardError).joined() }) {
        try await environment.rows(
          """
          SELECT (SELECT count(*) FROM client_journey_events), (SELECT count(*) FROM journey_actions WHERE state = 'proposed')
          """)[0] == ["\(workload.events.count)", "0"]
      }
      let isHeld = { (key: [String]) in
        key[2] == "email" || key[0] == org && key[1] == "concierge_personal_intervention"
      }
      let held = try await states(environment, "held"), sent = try await published(environment)
      #expect(!held.isEmpty && held.keys.allSatisfy(isHeld), "\(held)")
      #expect(!sent.isEmpty && !sent.keys.contains(where: isHeld), "\(sent)")
      #expect(sent == (try await states(environment, "published")))
      #expect(held.contains { $0.key[2] != "email" }, "held by organisation and action alone: \(held)")
      // Nothing failed, and nothing is tried again.
      #expect(try await environment.number("SELECT count(*) FROM journey_outbox WHERE failure IS NOT NULL") == 0)
      #expect(programs.allSatisfy { !$0.standardError.contains("not published") })
      let listed = try await holds(environment)
      #expect(listed.map(\.id) == [ofOrg.id, email.id] && listed.map(\.channel) == [nil, "email"])
      #expect(listed.reduce(0) { $0 + $1.actions } == held.values.reduce(0, +))
      let finding = try await environment.diagnose()["held"]?.text ?? ""
      #expect(
        finding.hasPrefix("2 holds open:\n\(ofOrg.id): concierge_personal_intervention for clients of ")
          && finding.contains("held by ada since ") && finding.hasSuffix(": a test"), "\(finding)")
      // A new instance knows the holds from its first moment on, and takes over nothing that is held.
      programs[0].send(SIGKILL)
      _ = await programs[0].ended(within: .seconds(10))
      let third = try await environment.serve(.literal, ["INSTANCE_NAME": "three"])
      try await environment.stop(programs[1])
      try await environment.stop(third)
      #expect(try await published(environment).isEmpty)
      #expect(try await states(environment, "held") == held)
    }
  }

  @Test func anInstanceWithoutTheDatabasePublishesNothingAndGoesOnByItself() async throws {
    var random = SeededRandom(stream: 241)
    let workload = Workload(events: 40, &random)
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await workload.seed(environment)
      let program = try await environment.serve(.literal, ["PIPELINE_DRAIN_SECONDS": "5"])
      try await servers.pause(.postgres)
      // Longer than its right to publish lasts.
      try await eventually("a lease that cannot be renewed", state: { program.standardError }) {
        program.standardError.contains("the lease cannot be renewed")
      }
      try await environment.publish(workload.messages(duplicates: 0, &random))
      try await servers.resume(.postgres)
      try await environment.settles(events: workload.events.count, program)
      #expect(!program.standardError.contains("not published"), "no action failed or waited for a retry")
      try await environment.stop(program)
    }
    try await servers.stop()
  }

  @Test func aHoldEndsByItself() async throws {
    try await TestEnvironment.with { environment in
      let program = try await environment.serve(.literal)
      _ = try await add(environment, "--channel", "voice", "--until", "3s")
      #expect(try await holds(environment).map(\.channel) == ["voice"])
      try await eventually("its end", state: { program.standardError }) {
        try await holds(environment).isEmpty && program.standardError.contains("a hold has ended")
      }
      #expect(try await holds(environment, "--all").map(\.state) == ["ended"])
      #expect(try await environment.number("SELECT count(*) FROM journey_holds WHERE released_at IS NOT NULL") == 0)
      try await environment.stop(program)
    }
  }

  @Test func whatNamesNothingIsRefused() async throws {
    try await TestEnvironment.with { environment in
      func refusal(_ options: String...) async throws -> String {
        let finished = try await environment.run(["hold"] + options)
        #expect(finished.status == 65, "\(options): \(finished)")
        return finished.errors
      }
      let why = ["--reason", "a test"]
      #expect(try await refusal("add", why[0], why[1]).contains("names a --channel, an --org or an --action"))
      #expect(try await refusal("add", "--channel", "mail", why[0], why[1]).contains("email, human, voice"))
      #expect(try await refusal("add", "--action", "email_outrech", why[0], why[1]).contains("email_outreach"))
      #expect(try await refusal("add", "--org", "acme", why[0], why[1]).contains("expected the UUID"))
      #expect(
        try await refusal("add", "--org", UUID().uuidString, why[0], why[1]).contains("there is no such organisation"))
      #expect(
        try await refusal("add", "--channel", "email", "--until", "2020-01-01", why[0], why[1]).contains("has passed"))
      #expect(try await refusal("add", "--channel", "email", "--until", "soon", why[0], why[1]).contains("expected"))
      #expect(try await refusal("add", "--channel", "email", "--reason", " ").contains("--reason is empty"))
      #expect(try await environment.run(["hold", "add", "--channel", "email"]).status == 64, "without a reason")
      #expect(try await refusal("release", "7").contains("there is no open hold 7"))
      let rehearsed = try await environment.succeed(["hold", "add", "--channel", "email", "--dry-run"] + why)
      #expect(rehearsed.contains("0 unpublished actions of 0 clients") && rehearsed.contains("nothing was changed"))
      #expect(try await holds(environment, "--all").isEmpty, "nothing was recorded")
      let alone = try await environment.run(["hold", "add", "--channel", "email"] + why)
      #expect(alone.status == 0 && alone.output.contains("no instance runs; those that start will hold them"))
      #expect(try await refusal("release", "1", "--rate", "0").contains("--rate"))
      try await environment.succeed(["hold", "release", "1", "--actor", "bob"])
      #expect(try await refusal("release", "1").contains("there is no open hold 1"), "it has ended")
      let record = try await environment.rows(
        "SELECT actor, why, released_by, login = released_login, released_at >= at FROM journey_holds")
      #expect(record[0].dropFirst() == ["a test", "bob", "t", "t"] && !record[0][0].isEmpty)
    }
  }

  /// One of a version that knows no holds renews its lease and never confirms.
  @Test(.timeLimit(.minutes(3))) func anInstanceThatDoesNotConfirmIsNamed() async throws {
    try await TestEnvironment.with { environment in
      let renewing = Task {
        while !Task.isCancelled {
          try await environment.execute(
            """
            INSERT INTO journey_leases (instance, process, host, version, state)
            VALUES ('old', gen_random_uuid(), 'host', '0.8.0', 'consuming') ON CONFLICT (instance) DO UPDATE SET seen_at = now()
            """)
          try await Task.sleep(for: .seconds(1))
        }
      }
      defer { renewing.cancel() }
      try await eventually("a lease") { try await environment.number("SELECT count(*) FROM journey_leases") == 1 }
      let added = try await environment.run(["hold", "add", "--channel", "email", "--reason", "a test"])
      #expect(added.status == 1 && added.output.contains("old: late"), "\(added)")
      #expect(added.errors.contains("not confirmed within 40 s: old") && added.errors.contains("the hold stands"))
      #expect(try await holds(environment).count == 1)
    }
  }
}
