import Foundation
import TestServers
import Testing

@testable import TestSupport

/// `journey consent` and `journey decisions`, as people use them beside a running program.
@Suite struct ConsentCommandTests {
  private static let org = "0193a6f2-0000-7000-8000-0000000000e1"
  private static let client = "0193a6f2-0000-7000-8000-0000000000e2"

  private struct Shown: Decodable {
    struct Block: Decodable { var channel: String, because: String }
    struct Consent: Decodable { var channel: String, purpose: String, granted: Bool, holds: Bool }
    struct Record: Decodable { var change: String, source: String, reason: String?, actor: String }
    var clientId: String
    var doNotContact: [Block]
    var consents: [Consent]
    var records: [Record]
  }
  private struct Verified: Decodable { var verified: Int, same: Int, complete: Bool }

  private func plant(_ environment: TestEnvironment) async throws {
    try await environment.execute(
      """
      INSERT INTO organizations (id, name) VALUES ('\(Self.org)', 'Acme');
      INSERT INTO contacts (id, org_id, name, email) VALUES ('\(Self.client)', '\(Self.org)', 'Ann', 'ann@example.com');
      INSERT INTO contacts (id, org_id, name, email) VALUES (gen_random_uuid(), '\(Self.org)', 'Twin', 'twin@example.com');
      INSERT INTO organizations (id, name) VALUES (gen_random_uuid(), 'Other');
      INSERT INTO contacts (id, org_id, name, email)
        SELECT gen_random_uuid(), id, 'Twin', 'twin@example.com' FROM organizations WHERE name = 'Other';
      """)
  }

  private func succeed(_ environment: TestEnvironment, _ arguments: String...) async throws -> String {
    let finished = try await environment.run(arguments, environment: ["JOURNEY_ACTOR": "eve"])
    try #require(finished.status == 0, "journey \(arguments.joined(separator: " ")): \(finished.errors)")
    return finished.output
  }

  private func shown(_ environment: TestEnvironment) async throws -> Shown {
    let text = try await succeed(environment, "consent", "show", "ann@example.com", "--json")
    return try JSONDecoder().decode(Shown.self, from: Data(text.utf8))
  }

  @Test func whatAPersonRecordsIsShown() async throws {
    try await TestEnvironment.with { environment in
      try await plant(environment)
      let email = ["--channel", "email", "--source", "call"]
      func record(_ change: String, _ rest: String...) async throws -> TestEnvironment.Finished {
        try await environment.run(
          ["consent", change, "ann@example.com"] + email + rest, environment: ["JOURNEY_ACTOR": "eve"])
      }
      #expect(try await shown(environment).records.isEmpty)
      let tried = try await record("block", "--dry-run")
      #expect(tried.status == 0 && tried.output.contains("it can be recorded; nothing was"))
      #expect(try await shown(environment).records.isEmpty)
      for arguments in [
        ["grant", "--purpose", "marketing", "--until", "730d"], ["withdraw", "--purpose", "news"],
        ["block", "--reason", "wants none"],
      ] {
        let finished = try await environment.run(
          ["consent", arguments[0], "ann@example.com"] + email + arguments.dropFirst(),
          environment: ["JOURNEY_ACTOR": "eve"])
        #expect(finished.status == 0, "\(finished.errors)")
      }
      let known = try await shown(environment)
      #expect(known.clientId == Self.client)
      #expect(known.doNotContact.map { "\($0.channel) \($0.because)" } == ["email recorded by a person"])
      #expect(
        known.consents.map { "\($0.purpose) \($0.granted) \($0.holds)" } == ["marketing true true", "news false false"])
      #expect(known.records.map(\.change) == ["blocked", "withdrawn", "granted"])
      #expect(
        known.records[0].reason == "wants none" && known.records.allSatisfy { $0.actor == "eve" && $0.source == "call" }
      )
      // What is older than the withdrawal changes nothing, and is kept.
      let late = try await record("grant", "--purpose", "news", "--at", "2d")
      #expect(late.status == 0 && late.output.contains("nothing changes"))
      #expect(try await shown(environment).records.count == 4)
      let bounced = try await record("reachable")
      #expect(bounced.output.contains("nothing changes"), "it is a wish that blocks")
      #expect(try await record("unblock").status == 0)
      #expect(try await shown(environment).doNotContact.isEmpty)
      let table = try await succeed(environment, "consent", "show", Self.client)
      #expect(table.contains("marketing") && table.contains("unblocked"))
    }
  }

  @Test func mistakesAreNamed() async throws {
    try await TestEnvironment.with { environment in
      try await plant(environment)
      for (arguments, status, text) in [
        (["block", "nobody", "--channel", "email", "--source", "call"], 1 as Int32, "unknown client nobody"),
        (["block", "twin@example.com", "--channel", "email", "--source", "call"], 65, "matches 2 clients"),
        (["block", Self.client, "--channel", "fax", "--source", "call"], 65, "there is no such channel"),
        (["block", Self.client, "--channel", "email", "--source", " "], 65, "--source is empty"),
        (["grant", Self.client, "--channel", "email", "--source", "c", "--purpose", "Mail"], 65, "--purpose Mail"),
        (
          ["grant", Self.client, "--channel", "email", "--source", "c", "--purpose", "m", "--until", "2020-01-01"], 65,
          "--until 2020-01-01: has passed"
        ),
        (
          ["block", Self.client, "--channel", "email", "--source", "c", "--at", "2999-01-01T00:00:00Z"], 65,
          "lies in the future"
        ),
      ] {
        let finished = try await environment.run(["consent"] + arguments)
        #expect(finished.status == status && finished.errors.contains(text), "\(arguments): \(finished.errors)")
      }
      #expect(try await environment.number("SELECT count(*) FROM journey_consents") == 0)
    }
  }

  @Test func rulesAreChecked() async throws {
    try await TestEnvironment.with { environment in
      #expect(try await succeed(environment, "decisions", "check").contains("are in order"))
      let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).yaml")
      defer { try? FileManager.default.removeItem(at: file) }
      try Data("version: mine\nrisks: { late_invoices: off }\n".utf8).write(to: file)
      let found = try await environment.run(["decisions", "check", file.path])
      #expect(found.status == 65 && found.output.contains("late_invoices is switched off"))
      let missing = try await environment.run(["decisions", "verify", "--rules", "/nowhere.yaml"])
      #expect(missing.status == 65)
      let text = try await succeed(environment, "decisions", "verify", "--json")
      let verified = try JSONDecoder().decode(Verified.self, from: Data(text.utf8))
      #expect(verified.verified == 0 && verified.complete)
    }
  }
}
