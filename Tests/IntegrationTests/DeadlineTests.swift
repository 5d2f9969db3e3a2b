import AMQPClient
import Foundation
import JourneyConfiguration
import PostgresClient
import TestServers
import Testing

@testable import TestSupport
@testable import JourneyCLI

/// The configured timeouts are those of the connections.
@Suite struct DeadlineTests {
  @Test func settingsReachTheConnections() async throws {
    let settings = try await SettingsLoader.load(
      path: Profile.defaultProfile.configuration, flags: [:],
      environment: [
        "AMQP_URL": "amqp://localhost?heartbeat=11&connection_timeout=12000", "AMQP_REQUEST_SECONDS": "13",
        "AMQP_STALL_SECONDS": "14",
        "AMQP_RECONNECT_SECONDS": "15", "DATABASE_URL": "postgresql://localhost/x?connect_timeout=16",
        "DATABASE_STATEMENT_SECONDS": "17",
        "DATABASE_LOCK_SECONDS": "18", "DATABASE_ANSWER_SECONDS": "19", "DATABASE_IDLE_TRANSACTION_SECONDS": "20",
        "DATABASE_RECONNECT_SECONDS": "21",
      ])
    let broker = try settings.broker("test")
    #expect(broker.heartbeat == .seconds(11))
    #expect(broker.connectTimeout == .seconds(12))
    #expect(broker.rpcTimeout == .seconds(13))
    #expect(broker.stallTimeout == .seconds(14))
    #expect(broker.tcpUserTimeout == .seconds(14))
    #expect(broker.maxReconnectDelay == .seconds(15))
    let database = try settings.database(role: nil)
    #expect(database.connectTimeout == .seconds(16))
    #expect(database.statementTimeout == .seconds(17))
    #expect(database.lockTimeout == .seconds(18))
    #expect(database.deadline == .seconds(19))
    #expect(database.idleInTransactionTimeout == .seconds(20))
    #expect(database.maxReconnectDelay == .seconds(21))
  }

  /// The queues do not confirm. After `publish.confirmSeconds` the connection is closed, and the actions are published
  /// later.
  @Test func confirmSecondsReachThePublisher() async throws {
    var random = SeededRandom(stream: 10)
    let workload = Workload(events: 60, &random)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      let program = try await environment.serve(.literal, ["PUBLISH_CONFIRM_SECONDS": "1"])
      func tell(_ what: String) async throws {
        try await environment.servers.erlang(
          "[sys:\(what)(whereis(list_to_atom(\"\(environment.vhost)_journey.actions.\" ++ Name))) || Name <- [\"email\", \"voice\", \"human\"]]"
        )
      }
      try await tell("suspend")
      try await environment.publish(workload.messages(&random), &random)
      try await eventually("a broker given up", within: .seconds(20), state: { program.standardError }) {
        program.standardError.contains("no answer for 1.0 seconds")
      }
      try await tell("resume")
      try await environment.settles(events: workload.events.count, program)
      try await environment.stop(program)
    }
  }
}
