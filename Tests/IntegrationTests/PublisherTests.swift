import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// Broker users may report only the events that `publishers` grants them, whatever their messages contain.
@Suite struct PublisherTests {
  private static let acme = "5b0f1d3e-0000-4000-8000-00000000000a", globex = "5b0f1d3e-0000-4000-8000-00000000000b"

  /// An event that creates its own client.
  private func lead(_ id: String, source: String, org: String, user: String?) -> OutboundMessage {
    let body =
      #"{"specversion":"1.0","id":"\#(id)","source":"\#(source)","type":"lead_created","time":"2026-01-01T10:00:00Z","subject":"\#(id)","orgid":"\#(org)","data":{"name":"A"}}"#
    return OutboundMessage(
      exchange: "journey.events", routingKey: "crm.lead_created",
      properties: MessageProperties(contentType: "application/cloudevents+json", messageID: id, userID: user),
      body: Array(body.utf8))
  }

  private func withPublisher(_ url: String, _ body: (AMQPPublisher) async throws -> Void) async throws {
    let publisher = AMQPPublisher(settings: try AMQPConnectionSettings(uri: url, connectionName: "test publisher"))
    publisher.start()
    do { try await body(publisher) } catch {
      await publisher.close(deadline: .seconds(2))
      throw error
    }
    await publisher.close(deadline: .seconds(2))
  }

  @Test func aPublisherReportsOnlyWhatItIsGranted() async throws {
    try await withTemporaryDirectory { directory in
      try await TestEnvironment.with { environment in
        let crm = "crm-\(environment.vhost)", billing = "billing-\(environment.vhost)"
        let settings = """
          mappings: {directories: ["\(Repository.root)/config/mappings"]}
          migrations: {directory: "\(Repository.root)/migrations"}
          publishers:
            \(crm): {sources: "/crm/*", organizations: ["\(Self.acme)"]}
            \(billing): {sources: [/billing], organizations: "*"}
          """
        try settings.write(toFile: "\(directory)/journey.yaml", atomically: true, encoding: .utf8)
        try await environment.execute(
          "INSERT INTO organizations (id, name) VALUES ('\(Self.acme)', 'Acme'), ('\(Self.globex)', 'Globex')")
        let program = try environment.start(["serve", "--config", directory])
        try await eventually("serve's consuming", state: { program.standardError }) {
          program.standardError.contains("consuming")
        }
        let crmURL = try await environment.servers.allow(
          crm, in: environment.vhost, configure: "^$", write: #"^journey\.events$"#, read: "^$")

        // The broker rejects messages with another user's name.
        try await withPublisher(crmURL) { publisher in
          let outcomes = await publisher.publish([
            lead("own", source: "/crm/acme", org: Self.acme, user: crm),
            lead("elsewhere", source: "/crm/acme", org: Self.globex, user: crm),
            lead("forged-source", source: "/billing", org: Self.acme, user: crm),
            lead("nameless", source: "/crm/acme", org: Self.acme, user: nil),
          ])
          for outcome in outcomes {
            guard case .confirmed = outcome else { throw Timeout(description: "\(outcome)") }
          }
        }
        try await withPublisher(crmURL) { publisher in
          let outcomes = await publisher.publish([
            lead("stolen-name", source: "/billing", org: Self.acme, user: billing)
          ])
          if case .confirmed = outcomes[0] { Issue.record("the broker has to refuse another user's name") }
        }
        try await eventually("the event") {
          try await environment.number("SELECT count(*) FROM client_journey_events") == 1
        }
        try await eventually("three dead letters") {
          try await environment.admin.messageCount(queue: "journey.dead-letters") == 3
        }
        #expect(
          try await environment.rows("SELECT source_event_id, org_id FROM client_journey_events") == [
            ["own", Self.acme]
          ])
        let deadLetters = try await environment.drain("journey.dead-letters")
        #expect(
          deadLetters.allSatisfy {
            $0.properties.headers["x-journey-reason-code"]?.stringValue == "forbidden_publisher"
          })
        let fields = Dictionary(
          uniqueKeysWithValues: deadLetters.map {
            ($0.properties.messageID ?? "", $0.properties.headers["x-journey-field"]?.stringValue ?? "")
          })
        #expect(fields == ["elsewhere": "organization", "forged-source": "source", "nameless": "property:user_id"])

        let doctor = try await environment.run(["doctor", "--config", directory])
        #expect(
          doctor.output.contains("checked: 2 users of the broker by name, nobody else may report events"),
          "\(doctor.output)")
        try await environment.stop(program)
      }
    }
  }

  /// Dead letters keep their publisher: a replay does not change it to the adapter.
  @Test func aReplayIsJudgedByItsFirstPublisher() async throws {
    try await withTemporaryDirectory { directory in
      try await TestEnvironment.with { environment in
        let crm = "crm-\(environment.vhost)"
        func write(_ organizations: String) throws {
          let settings = """
            mappings: {directories: ["\(Repository.root)/config/mappings"]}
            migrations: {directory: "\(Repository.root)/migrations"}
            deadLetters: {archive: true}
            publishers:
              \(crm): {sources: "*", organizations: [\(organizations)]}
            """
          try settings.write(toFile: "\(directory)/journey.yaml", atomically: true, encoding: .utf8)
        }
        try write("\"\(Self.globex)\"")
        try await environment.execute(
          "INSERT INTO organizations (id, name) VALUES ('\(Self.acme)', 'Acme'), ('\(Self.globex)', 'Globex')")
        let crmURL = try await environment.servers.allow(
          crm, in: environment.vhost, configure: "^$", write: #"^journey\.events$"#, read: "^$")
        try await withPublisher(crmURL) {
          _ = await $0.publish([lead("refused", source: "/crm", org: Self.acme, user: crm)])
        }

        func serving(_ body: () async throws -> Void) async throws {
          let program = try environment.start(
            ["serve", "--config", directory], environment: ["DEAD_LETTERS_ARCHIVE": "true"])
          try await eventually("serve's consuming", state: { program.standardError }) {
            program.standardError.contains("consuming")
          }
          try await body()
          try await environment.stop(program)
        }
        let open = "SELECT count(*) FROM journey_dead_letters WHERE state = 'new' AND code = 'forbidden_publisher'"
        try await serving {
          try await eventually("the dead letter") { try await environment.number(open) == 1 }
          try await environment.succeed(["dlq", "replay", "--all", "--config", directory])
          try await eventually("the same dead letter again") {
            try await environment.number(
              "SELECT count(*) FROM journey_dead_letters WHERE state = 'new' AND same_failures = 2") == 1
          }
          #expect(try await environment.number("SELECT count(*) FROM client_journey_events") == 0)
        }
        try write("\"\(Self.globex)\", \"\(Self.acme)\"")
        try await serving {
          try await environment.succeed(["dlq", "replay", "--all", "--config", directory])
          try await eventually(
            "the event",
            state: { "\(try await environment.rows("SELECT code, reason, state FROM journey_dead_letters"))" }
          ) {
            try await environment.number("SELECT count(*) FROM client_journey_events") == 1
          }
        }
      }
    }
  }
}
