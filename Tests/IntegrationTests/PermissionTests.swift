import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// The adapter as a broker user with only the permissions that docs/operations.md lists.
@Suite struct PermissionTests {
  private static let all = #"^journey\..*"#

  private func login(_ environment: TestEnvironment, configure: String = all, write: String = all, read: String = all)
    async throws
    -> [String: String]
  {
    [
      "AMQP_URL": try await environment.servers.allow(
        "least-\(environment.vhost)", in: environment.vhost, configure: configure, write: write, read: read)
    ]
  }

  @Test func withTheDocumentedPermissionsEventsOfUnknownClientsHoldNothingUp() async throws {
    var random = SeededRandom(stream: 41)
    let workload = Workload(events: 2500, &random)
    try await TestEnvironment.with(isMigrated: false) { environment in
      try await environment.succeed(["migrate"])
      let user = try await login(environment)
      // That user also declares the queues and exchanges.
      let applied = try await environment.run(["topology", "apply"], environment: user)
      #expect(applied.status == 0, "\(applied.errors)")
      try await workload.seed(environment)
      var settings = user
      settings["RETRY_UNKNOWN_CLIENT"] = "true"
      settings["INGEST_PREFETCH"] = "100"
      let program = try await environment.serve(.defaultProfile, settings)
      let known = workload.messages(&random)
      // More messages than the prefetch limit.
      let one = try #require(known.first { $0.routingKey == "test.subscription_renewed" })
      let strangers = (0..<300).map { index in
        var message = one
        message.body = Array(
          String(decoding: message.body, as: UTF8.self).replacing(#""id":""#, with: #""id":"stranger-\#(index)-"#)
            .replacing(
              /"subject":"[^"]*"/, with: #""subject":"nobody-\#(index)""#
            ).utf8)
        return message
      }
      try await environment.publish(strangers + known, &random)
      try await environment.settles(events: workload.events.count, program)
      try await eventually("all that is of unknown clients in the retry queues") {
        var waiting = 0
        for tier in ["10s", "1m", "10m", "1h"] {
          waiting += try await environment.admin.messageCount(queue: "journey.retry.\(tier)")
        }
        return waiting == strangers.count
      }
      #expect(!program.standardError.contains("closed the channel"), "\(program.standardError)")
      let doctor = try await environment.run(["doctor"], environment: user)
      #expect(doctor.status == 0, "\(doctor.output)")
      #expect(doctor.output.contains("all that serve needs"))
      try await environment.stop(program)
    }
  }

  @Test func whatIsNotPermittedIsSaidBeforeAnythingIsTaken() async throws {
    try await TestEnvironment.with { environment in
      for (exchange, write) in [
        ("journey.retry", #"^journey\.(dead|actions|events)"#), ("journey.actions", #"^journey\.(dead|retry|events)"#),
      ] {
        let user = try await login(environment, write: write)
        let finished = try await environment.run(
          ["serve", "--config", Profile.defaultProfile.configuration], environment: user)
        #expect(finished.status == 78, "\(finished.errors)")
        #expect(finished.errors.contains("'\(exchange)'"), "\(finished.errors)")
        #expect(finished.errors.contains("rabbitmqctl set_permissions"), "\(finished.errors)")
        let doctor = try await environment.run(["doctor"], environment: user)
        #expect(doctor.status == 78)
        #expect(doctor.output.contains("'\(exchange)'"), "\(doctor.output)")
      }
    }
  }

  /// A user has reached its connection limit. This is a temporary error.
  @Test func aLimitOfConnectionsIsAServerThatIsNotThere() async throws {
    try await TestEnvironment.with { environment in
      let name = "least-\(environment.vhost)"
      let user = try await login(environment)
      for (limit, lift) in [
        (
          #"rabbit_auth_backend_internal:set_user_limits(<<"\#(name)">>, #{<<"max-connections">> => 0}, <<"test">>)"#,
          #"rabbit_auth_backend_internal:clear_user_limits(<<"\#(name)">>, <<"all">>, <<"test">>)"#
        ),
        (
          #"rabbit_vhost_limit:set(<<"\#(environment.vhost)">>, [{<<"max-connections">>, 0}], <<"test">>)"#,
          #"rabbit_vhost_limit:clear(<<"\#(environment.vhost)">>, <<"test">>)"#
        ),
      ] {
        try await environment.servers.erlang(limit)
        let finished = try await environment.run(
          ["serve", "--config", Profile.defaultProfile.configuration], environment: user)
        #expect(finished.status == 69, "\(finished.errors)")
        #expect(finished.errors.contains("limit"), "\(finished.errors)")
        try await environment.servers.erlang(lift)
      }
      let program = try await environment.serve(.defaultProfile, user)
      try await environment.stop(program)
    }
  }
}
