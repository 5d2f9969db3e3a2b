import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// The broker revokes a permission while the adapter runs; the database refuses sessions for a while.
extension Scenario {
  static var permissions: [Scenario] {
    [
      Scenario("refused-permission", short: 2, long: 6, permissionTaken),
      Scenario("passing-refusal", short: 1, long: 3, sessionsRefused),
    ]
  }

  /// The broker refuses first retries, then dead letters. Other events continue, and nothing is missing once the
  /// permission is back. An event that cannot be retried meanwhile becomes a dead letter with its own code,
  /// unknown_client.
  private static func permissionTaken(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    let settings = ["RETRY_UNKNOWN_CLIENT": "true", "INGEST_PREFETCH": "200"]
    try await FaultRun.run(row, .init(events: rounds * 200, settings: settings, mayGiveUp: false), &random) {
      faultRun in
      let program = try await faultRun.serve()
      let environment = faultRun.environment, all = #"^journey\..*"#
      var strangers = 0
      for round in 0..<rounds {
        let left = round % 2 == 0 ? #"^journey\.(events|actions|dead)"# : #"^journey\.(events|actions|retry)"#
        _ = try await environment.servers.allow(
          "adapter-\(environment.vhost)", in: environment.vhost, configure: all, write: left, read: all)
        try await faultRun.deliver((0..<30).map { .stranger(strangers + $0, org: faultRun.workload.orgs[0]) })
        strangers += 30
        try await faultRun.publish(180, unmappable: 5)
        try await faultRun.stored(faultRun.sentEvents, within: .seconds(30))
        _ = try await environment.servers.allow(
          "adapter-\(environment.vhost)", in: environment.vhost, configure: all, write: all, read: all)
        // Events that could not be retried are dead letters by now. Those in the first retry queue come back and go on
        // to the next.
        var found = [0, 0]
        try await eventually(
          "\(strangers) messages of unknown clients", within: .seconds(60), state: { "\(found) came. \(faultRun.logs)" }
        ) {
          found = [
            0,
            try await environment.number("SELECT count(*) FROM journey_dead_letters WHERE message_id LIKE 'stranger%'"),
          ]
          for tier in ["10s", "1m", "10m", "1h"] {
            found[0] += try await environment.admin.messageCount(queue: "journey.retry.\(tier)")
          }
          return found[0] + found[1] >= strangers
        }
      }
      #expect(program.ending == nil, "\(program.standardError)")
      let codes = try await environment.rows(
        "SELECT DISTINCT code FROM journey_dead_letters WHERE message_id LIKE 'stranger%'")
      #expect(codes.isEmpty || codes == [["unknown_client"]], "\(codes)")
    }
  }

  /// All sessions are terminated and new ones refused for some seconds, for each reason in turn. The program keeps
  /// running and works afterwards.
  private static func sessionsRefused(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    let said = ["28P01", "3D000", "55000", "XX000", "53300", "28000"]
    for _ in 0..<rounds {
      let settings = ["DATABASE_RECONNECT_SECONDS": "1", "PIPELINE_RETRY_SECONDS": "1"]
      try await FaultRun.run(
        row, .init(events: (said.count + 2) * 50, isProxied: true, settings: settings, mayGiveUp: false), &random
      ) { faultRun in
        let program = try await faultRun.serve()
        let proxy = try #require(faultRun.postgres), environment = faultRun.environment
        let seconds = FaultSettings.isLong ? 5 : 1
        for code in said {
          try await faultRun.refused(for: seconds) {
            proxy.weather = .answering(FaultProxy.refusal(code))
            proxy.cut()
          } end: {
            proxy.weather = .fair
          }
        }
        // The same refusals by the server itself.
        let login = try #require(URLComponents(string: environment.logins.databaseURL)?.user)
        let name = try await environment.rows("SELECT current_database()")[0][0]
        for (refuse, permit) in [
          ("ALTER ROLE \(login) NOLOGIN", "ALTER ROLE \(login) LOGIN"),
          ("ALTER DATABASE \(name) ALLOW_CONNECTIONS false", "ALTER DATABASE \(name) ALLOW_CONNECTIONS true"),
        ] {
          try await faultRun.refused(for: seconds) {
            try await environment.servers.sql(refuse)
            try await environment.servers.sql(
              "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '\(login)'")
          } end: {
            try await environment.servers.sql(permit)
          }
        }
        #expect(program.ending == nil, "\(program.standardError)")
      }
    }
  }
}

extension FaultRun {
  fileprivate func refused(for seconds: Int, _ begin: () async throws -> Void, end: () async throws -> Void)
    async throws
  {
    try await publish(15)
    try await progress(by: 1...10)
    try await begin()
    try await publish(30)
    try await Task.sleep(for: .seconds(seconds))
    #expect(programs.last?.ending == nil, "\(programs.last?.standardError ?? "")")
    try await end()
    try await stored(sentEvents, within: .seconds(40))
  }
}

extension FaultProxy {
  /// The server's answer to a refused login.
  static func refusal(_ code: String) -> [UInt8] {
    var fields: [UInt8] = []
    for field in ["SFATAL", "VFATAL", "C\(code)", "Mrefused by a test"] { fields += Array(field.utf8) + [0] }
    fields.append(0)
    return [UInt8(ascii: "E")] + withUnsafeBytes(of: UInt32(fields.count + 4).bigEndian) { Array($0) } + fields
  }
}

extension OutboundMessage {
  /// An event of an unknown client.
  fileprivate static func stranger(_ number: Int, org: String) -> OutboundMessage {
    let body =
      #"{"specversion":"1.0","id":"stranger_\#(number)","source":"/crm/acme","type":"ticket_opened","time":"2026-01-01T00:00:00Z","#
      + #""subject":"00000000-0000-4000-8000-\#(String(format: "%012d", number))","orgid":"\#(org)","data":{}}"#
    return OutboundMessage(
      exchange: "journey.events", routingKey: "test.stranger",
      properties: MessageProperties(contentType: "application/cloudevents+json", messageID: "stranger_\(number)"),
      body: Array(body.utf8))
  }
}
