import Foundation
import Glibc
import Synchronization
import TestServers
import Testing

@testable import PostgresClient

@Suite struct ConnectTests {
  /// The same URL with one component replaced, by plain text work: the password must stay as it is.
  private func changed(_ url: String, _ old: String, _ new: String) throws -> String {
    let range = try #require(url.range(of: old))
    return url.replacingCharacters(in: range, with: new)
  }

  @Test func wrongPasswordIsPermanent() async throws {
    let url = try await freshDatabase()
    let start = try #require(url.range(of: "://")).upperBound
    let colon = try #require(url[start...].firstIndex(of: ":"))
    let at = try #require(url[start...].firstIndex(of: "@"))
    let wrong = url[...colon] + "wrong-password" + url[at...]
    let error = try failure { _ = try PostgresConnection.connect(settings(String(wrong))) }
    #expect(error.sqlState == "28P01")
    #expect(error.kind == .permanent)
    #expect(error.operation == "connect")
    #expect(!error.description.contains("wrong-password"))
    let none = url[..<colon] + url[at...]
    #expect(try failure { _ = try PostgresConnection.connect(settings(String(none))) }.kind == .permanent)
  }

  @Test func unknownDatabaseOrRoleIsPermanent() async throws {
    let url = try await freshDatabase()
    let slash = try #require(url.lastIndex(of: "/"))
    let error = try failure { _ = try PostgresConnection.connect(settings(url[...slash] + "no_such_database")) }
    #expect(error.sqlState == "3D000")
    #expect(error.kind == .permanent)
    let role = try failure { _ = try PostgresConnection.connect(PostgresSettings(conninfo: url, role: "no_such_role")) }
    #expect(role.kind == .permanent)
    #expect(role.operation == "set up session")
  }

  @Test func refusedIsTransientAndSilenceEndsInTime() throws {
    // A socket that is bound and does not listen refuses; one that listens and never accepts is silent.
    let refusing = try LoopbackSocket(listening: false)
    let silent = try LoopbackSocket(listening: true)
    let refused = try failure {
      _ = try PostgresConnection.connect(settings("host=127.0.0.1 port=\(refusing.port) user=a"))
    }
    #expect(refused.kind == .transient)
    let started = ContinuousClock.now
    let unanswered = try failure {
      _ = try PostgresConnection.connect(
        settings("host=127.0.0.1 port=\(silent.port) user=a password=hidden") { $0.connectTimeout = .milliseconds(200) }
      )
    }
    #expect(unanswered.kind == .transient)
    #expect(unanswered.message.contains("no answer"))
    #expect(ContinuousClock.now - started < .seconds(15))
  }

  @Test func nextHostIsTriedAfterARefusalAndAfterSilence() async throws {
    let url = try await freshDatabase()
    let silent = try LoopbackSocket(listening: true)
    let refusing = try LoopbackSocket(listening: false)
    let several = try changed(url, "@127.0.0.1:", "@127.0.0.1:\(refusing.port),127.0.0.1:\(silent.port),127.0.0.1:")
    // For each of the hosts: long enough for the real one on a busy machine.
    let connection = try PostgresConnection.connect(settings(several) { $0.connectTimeout = .seconds(4) })
    #expect(try connection.number("SELECT 1") == 1)
  }

  @Test func readOnlyServerIsNotTakenUnlessAsked() async throws {
    let url = try await freshDatabase()
    let name = try #require(url.split(separator: "/").last)
    let setup = try PostgresConnection.connect(settings(url))
    try setup.execute("ALTER DATABASE \(name) SET default_transaction_read_only = on")
    #expect(try failure { _ = try PostgresConnection.connect(settings(url)) }.isRetriable)
    let separator = url.contains("?") ? "&" : "?"
    _ = try PostgresConnection.connect(settings(url + separator + "target_session_attrs=any"))
  }

  @Test func sessionIsSetUp() async throws {
    let url = try await freshDatabase()
    let admin = try PostgresConnection.connect(settings(url))
    let role = "reader \"x\" \(admin.backendPID)"
    try admin.execute("CREATE ROLE \(PostgresConnection.quotedIdentifier(role))")
    var wanted = try PostgresSettings(conninfo: url, applicationName: "unit", role: role)
    wanted.statementTimeout = .milliseconds(1_500)
    wanted.lockTimeout = .zero
    wanted.plansByIndexes = true
    let connection = try PostgresConnection.connect(wanted)
    let result = try connection.execute(
      PostgresStatement(
        name: "s",
        """
        SELECT current_user::text, current_setting('statement_timeout'), current_setting('lock_timeout'),
          current_setting('idle_in_transaction_session_timeout'), current_setting('application_name'), current_setting('client_encoding'),
          current_setting('plan_cache_mode'), current_setting('enable_seqscan'), current_setting('jit')
        """))
    #expect(
      try (0..<9).map { try result.text(0, $0) } == [
        role, "1500ms", "0", "1min", "unit", "UTF8", "force_generic_plan", "off", "off",
      ])
    try admin.execute("DROP ROLE \(PostgresConnection.quotedIdentifier(role))")
  }

  /// A pooler in transaction mode lends the session to others in between.
  @Test func aRoleAppliesToOneTransactionOnly() async throws {
    let url = try await freshDatabase()
    let admin = try PostgresConnection.connect(settings(url))
    let role = "worker \(admin.backendPID)"
    try admin.execute("CREATE ROLE \(PostgresConnection.quotedIdentifier(role))")
    let connection = try PostgresConnection.connect(PostgresSettings(conninfo: url, role: role))
    let who = PostgresStatement(name: "who", "SELECT current_user::text")
    let site = CallSite(file: #fileID, line: #line)
    func roleOfSession() throws -> String {
      try connection.simpleQuery("SHOW role", operation: "show", site: site).text(0, 0)
    }
    #expect(try roleOfSession() == "none")
    #expect(try connection.execute(who).text(0, 0) == role)
    #expect(try roleOfSession() == "none")
    #expect(try connection.execute("SELECT 1; SELECT current_user").text(0, 0) == role)
    #expect(try roleOfSession() == "none")
    let results = try connection.pipeline([(.begin, PostgresParameters()), (who, PostgresParameters())])
    #expect(results.count == 2 && connection.isInTransaction)
    #expect(try results[1].text(0, 0) == role && connection.execute(who).text(0, 0) == role && roleOfSession() == role)
    _ = try connection.pipeline([(.commit, PostgresParameters())])
    #expect(try roleOfSession() == "none")
    let within = try connection.transaction { try connection.execute("SELECT current_user").text(0, 0) }
    #expect(within == role)
    #expect(try roleOfSession() == "none")
    #expect(try connection.pipeline([(who, PostgresParameters()), (who, PostgresParameters())]).count == 2)
    #expect(try failure { try connection.execute(PostgresStatement(name: "fails", "SELECT 1 / 0")) }.kind == .poison)
    #expect(try !connection.isInTransaction && roleOfSession() == "none")
    try admin.execute("DROP ROLE \(PostgresConnection.quotedIdentifier(role))")
  }

  @Test func noticesReachTheHandler() async throws {
    let seen = Mutex<[String]>([])
    try await withConnection({
      $0.noticeHandler = { notice in seen.withLock { $0.append("\(notice.severity) \(notice.message)") } }
    }) {
      try $0.execute("DO $$ BEGIN RAISE WARNING 'careful'; END $$; DROP TABLE IF EXISTS nothing")
    }
    #expect(seen.withLock { $0 } == ["WARNING careful", "NOTICE table \"nothing\" does not exist, skipping"])
  }
}

/// A port of the loopback interface that nobody else gets while this lives.
final class LoopbackSocket {
  private let descriptor: Int32
  let port: UInt16

  init(listening: Bool) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let descriptor = descriptor
    let isBound = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
      }
    }
    port = UInt16(bigEndian: address.sin_port)
    try #require(isBound && (!listening || listen(descriptor, 8) == 0))
  }

  deinit { close(descriptor) }
}
