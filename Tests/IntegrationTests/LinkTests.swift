import AMQPClient
@testable import PostgresClient
import TestServers
import Testing

@testable import TestSupport
@testable import JourneyCLI

/// Whether a connection is encrypted and authenticated, and how this is reported.
@Suite struct LinkTests {
  @Test func aLinkThatLeavesTheMachineHasToBeVerified() throws {
    func broker(_ uri: String) throws -> LinkFinding {
      .broker(try AMQPConnectionSettings(uri: uri, connectionName: "test"))
    }
    for uri in [
      "amqp://u:p@broker.example", "amqps://u:p@broker.example?verify=verify_none", "amqp://u:p@127.0.0.1,10.0.0.1",
      "amqp://127.0.0.1.example",
    ] {
      let found = try broker(uri)
      #expect(!found.isSafe && found.advice?.contains("amqps://") == true, "\(uri): \(found.text)")
    }
    for uri in [
      "amqps://u:p@broker.example", "amqp://localhost", "amqp://127.0.0.1:1,[::1]:2",
      "amqps://localhost?verify=verify_none",
    ] {
      #expect(try broker(uri).isSafe, "\(uri)")
    }
    func database(_ isEncrypted: Bool, _ verification: PostgresLink.Verification, _ mode: String, isLocal: Bool = false)
      -> LinkFinding
    {
      .database(PostgresLink(isLocal: isLocal, isEncrypted: isEncrypted, verification: verification, mode: mode))
    }
    // A proxy answers N to the request for TLS: nothing is encrypted, and no error occurs.
    let refused = database(false, .none, "prefer")
    #expect(
      !refused.isSafe && refused.text.contains("not encrypted (sslmode=prefer)")
        && refused.advice?.contains("verify-full") == true)
    #expect(!database(true, .none, "require").isSafe && !database(true, .authority, "verify-ca").isSafe)
    #expect(database(true, .hostName, "verify-full").isSafe && database(false, .none, "prefer", isLocal: true).isSafe)
  }

  /// A server without TLS answers N, as such a proxy does.
  @Test func theServersAnswerIsReported() async throws {
    let servers = try await TestServers.dedicated([.postgres], tls: true)
    let url = try await servers.makeDatabase(tls: true), bare = try await TestServers.shared().makeDatabase()
    let base = String(url.split(separator: "?")[0]), file = try #require(url.split(separator: "=").last)
    for (url, isEncrypted, verification) in [
      (url, true, PostgresLink.Verification.hostName), (base, true, .none), (base + "?sslmode=require", true, .none),
      (base + "?sslmode=require&sslrootcert=\(file)", true, .authority),
      (base + "?sslmode=verify-ca&sslrootcert=\(file)", true, .authority),
      (base + "?sslmode=disable", false, .none), (bare, false, .none),
    ] {
      let worker = PostgresWorker(try PostgresSettings(conninfo: url), name: "pg-test")
      let link = try await worker.perform { $0.link }
      #expect(link.isEncrypted == isEncrypted && link.verification == verification && link.isLocal, "\(url): \(link)")
      await worker.close()
    }
    try await servers.stop()
  }

  @Test func serveAndDoctorSayIt() async throws {
    try await TestEnvironment.with { environment in
      let program = try await environment.serve(.defaultProfile)
      #expect(
        program.standardError.contains(#"database_link="not encrypted (sslmode=prefer); it stays on this machine""#),
        "\(program.standardError)")
      #expect(program.standardError.contains("broker_link="))
      try await environment.stop(program)
      let doctor = try await environment.run(
        ["doctor", "--config", Profile.defaultProfile.configuration], environment: ["API_HOST": "0.0.0.0"])
      #expect(
        doctor.output.contains("broker link") && doctor.output.contains("not encrypted (sslmode=prefer)")
          && doctor.status == 0, "\(doctor.output)")
      #expect(doctor.output.contains("WARNING  API link"), "\(doctor.output)")
    }
  }
}
