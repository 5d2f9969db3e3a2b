import Foundation
import TestServers
import Testing

@testable import TestSupport

/// Settings and servers that are not as they have to be: each state is named by `journey doctor`, and gone once its
/// advice is followed.
@Suite struct DoctorStateTests {
  @Test func whatIsMissingIsCreated() async throws {
    try await TestEnvironment.with(isMigrated: false) { environment in
      let found = try await environment.diagnose()
      #expect(found.status == 78)
      try await environment.follow(found["queues-missing"])
      try await environment.follow(found["schema-outdated"])
      let cured = try await environment.diagnose()
      #expect(cured.status == 0 && cured.isInOrder("queues") && cured.isInOrder("schema"), "\(cured.problems)")
    }
  }

  @Test func unreachableServersAreNoMatterOfTheSettings() async throws {
    try await TestEnvironment.with { environment in
      let gone = ["AMQP_URL": "amqp://u:p@127.0.0.1:1/", "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"]
      let found = try await environment.diagnose(gone)
      #expect(found.status == 69, "\(found.problems)")
      #expect(found["broker-unreachable"]?.advice == "start the broker, or correct amqp.url (AMQP_URL)")
      #expect(found["database-unreachable"]?.advice == "start the database, or correct database.url (DATABASE_URL)")
      #expect(found.problems.allSatisfy { $0.advice?.contains("migrate") != true }, "\(found.problems)")
      // One of them, and something else beside it.
      let both = try await environment.diagnose(gone.merging(["MAPPINGS_DIRECTORIES": "/nowhere"]) { $1 })
      #expect(both.status == 78)
      let broker = try await environment.diagnose(["AMQP_URL": gone["AMQP_URL"] ?? ""])
      #expect(broker.status == 69 && broker.isInOrder("schema"), "\(broker.problems)")
    }
  }

  @Test func settingsThatAreMissingAreNamed() async throws {
    try await TestEnvironment.with { environment in
      let unset = try await environment.diagnose(["AMQP_URL": "", "DATABASE_URL": ""])
      #expect(unset.status == 78)
      #expect(unset["broker-refuses"]?.text == "amqp.url is not set", "\(unset.problems)")
      #expect(unset["broker-refuses"]?.advice?.hasPrefix("give AMQP_URL") == true)
      #expect(unset["database-refuses"]?.advice?.hasPrefix("give DATABASE_URL") == true)
      #expect(unset.problems.allSatisfy { $0.advice?.contains("migrate") != true }, "\(unset.problems)")

      let wrong = try await environment.diagnose(["PIPELINE_WORKERS": "none"])
      #expect(wrong.status == 78 && wrong["settings-invalid"]?.text.contains("pipeline.workers") == true)

      let elsewhere = try await environment.diagnose([
        "MAPPINGS_DIRECTORIES": "/nowhere/mappings", "MIGRATIONS_DIRECTORY": "/nowhere/migrations",
      ])
      #expect(elsewhere["mappings-missing"]?.text == "there is no directory /nowhere/mappings", "\(elsewhere.problems)")
      #expect(elsewhere["mappings-missing"]?.advice?.contains("MAPPINGS_DIRECTORIES") == true)
      #expect(elsewhere["migrations-unreadable"]?.advice?.contains("MIGRATIONS_DIRECTORY") == true)
      #expect(elsewhere["schema-outdated"] == nil, "migrate would fail with the same words")
      let cured = try await environment.diagnose([
        "MAPPINGS_DIRECTORIES": Repository.root + "/config/mappings",
        "MIGRATIONS_DIRECTORY": Repository.root + "/migrations",
      ])
      #expect(cured.isInOrder("mappings") && cured.isInOrder("schema"), "\(cured.problems)")
      let mappings = cured.findings.first { $0.subject == "mappings" }
      #expect(mappings.map { $0.text.count < 120 && $0.text.contains("sources: ") } == true, "\(cured.findings)")
    }
  }

  @Test func theSettingsFileIsNamed() async throws {
    try await TestEnvironment.with { environment in
      let file = Profile.defaultProfile.configuration
      let named = try await environment.diagnose([:], ["--config", file])
      #expect(named.findings.first?.text.contains("from \(file)") == true, "\(named.findings)")
      try await withTemporaryDirectory { directory in
        let child = try ChildProcess.start(
          Repository.binary, ["doctor"],
          environment: ["AMQP_URL": environment.logins.amqpURL, "DATABASE_URL": environment.logins.databaseURL],
          directory: directory)
        #expect(await child.ended(within: .seconds(60)) == .exited(78))
        #expect(
          child.standardOutput.contains("/config/journey.yaml nor /etc/journey/journey.yaml; from the environment"))
        #expect(child.standardOutput.contains(directory + "/mappings"), "\(child.standardOutput)")
      }
    }
  }

  @Test func loginsThatMayDoTooMuch() async throws {
    try await TestEnvironment.with { environment in
      let owner = environment.logins.ownerURL
      let name = try #require(owner.firstMatch(of: /:\/\/([^:]+):/)).1
      try await environment.execute("GRANT journey_adapter, authenticated TO \(name)")
      let found = try await environment.diagnose(["DATABASE_URL": owner])
      #expect(found["login-owns-tables"]?.verdict == "warning", "\(found.findings)")
      let superuser = try await environment.diagnose(["DATABASE_URL": environment.databaseURL])
      #expect(superuser["login-superuser"] != nil && superuser["login-owns-tables"] == nil)

      let sql = try environment.sql(found["login-owns-tables"]).split(separator: ";")[0]
      try await environment.execute(String(sql).replacing("…", with: "secret"))
      let login = owner.replacing(/\/\/[^@]+@/, with: "//journey_login:secret@")
      #expect(login != owner)
      let cured = try await environment.diagnose(["DATABASE_URL": login])
      #expect(cured.status == 0 && cured["login-owns-tables"] == nil && cured["login-not-member"] == nil, "\(cured)")
      try await environment.execute("DROP ROLE journey_login")
    }
  }

  @Test func rolesThatMayNotDoEnough() async throws {
    try await TestEnvironment.with { environment in
      let name = try #require(environment.logins.databaseURL.firstMatch(of: /:\/\/([^:]+):/)).1
      for (revoked, code) in [("authenticated", "login-not-member"), ("journey_adapter", "role-refused")] {
        try await environment.execute("REVOKE \(revoked) FROM \(name)")
        let found = try await environment.diagnose()
        try await environment.execute(try environment.sql(found[code]))
        let cured = try await environment.diagnose()
        #expect(cured.status == 0 && cured[code] == nil, "\(code): \(cured.problems)")
      }
      let nobody = try await environment.diagnose(["DATABASE_ROLE": "nosuch"])
      #expect(nobody.status == 78 && nobody["role-refused"]?.text.contains("nosuch") == true, "\(nobody.problems)")
      #expect(nobody["role-refused"]?.advice?.contains("database.role: journey_adapter") == true)
    }
  }

  @Test func tablesWithoutRowSecurity() async throws {
    try await TestEnvironment.with { environment in
      try await environment.execute("ALTER TABLE journey_outbox DISABLE ROW LEVEL SECURITY")
      let found = try await environment.diagnose()
      #expect(found.status == 78)
      try await environment.execute(try environment.sql(found["row-security-off"]))
      #expect(try await environment.diagnose().isInOrder("tenancy"))
    }
  }

  @Test func aBrokersUserThatMayNotDoEnough() async throws {
    try await TestEnvironment.with { environment in
      let user = [
        "AMQP_URL": try await environment.servers.allow(
          "least-\(environment.vhost)", in: environment.vhost, configure: #"^journey\."#, write: "^$",
          read: #"^journey\."#)
      ]
      let found = try await environment.diagnose(user)
      #expect(found.status == 78)
      let advice = try #require(found["broker-permissions"]?.advice)
      let words = try #require(advice.firstMatch(of: /run: rabbitmqctl (.*)/)).1.split(separator: " ")
        .map { $0.trimmingCharacters(in: ["'"]) }
      #expect(words.count == 7, "\(words)")
      try await environment.servers.rabbitmqctl(words[0], words[1], words[2], words[3], words[4], words[5], words[6])
      let cured = try await environment.diagnose(user)
      #expect(cured.status == 0 && cured.isInOrder("permissions"), "\(cured.problems)")
      // What is granted is what the service needs, which may not configure.
      let queues = cured.findings.first { $0.subject == "queues" }
      #expect(queues?.verdict == "ok" && queues?.text.hasPrefix("all exist; ") == true, "\(cured.findings)")
    }
  }

  @Test func aBrokerWithoutMemory() async throws {
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await servers.rabbitmqctl("set_vm_memory_high_watermark", "0.00001")
      let found = try await environment.diagnose()
      #expect(found["broker-alarm"]?.advice?.contains("rabbitmq-diagnostics alarms") == true, "\(found.problems)")
      try await servers.rabbitmqctl("set_vm_memory_high_watermark", "0.6")
      try await eventually("no alarm") { try await environment.diagnose().isInOrder("permissions") }
    }
    try await servers.stop()
  }

  /// Certificates of three days, and one that has ended, on both servers; then their renewal.
  @Test func certificatesThatEnd() async throws {
    let servers = try await TestServers.dedicated(tls: true)
    try await TestEnvironment.with(servers: servers) { environment in
      func parts(_ url: String) -> Substring { url.split(separator: "?")[0] }
      let address = parts(servers.amqpURL(vhost: environment.vhost, tls: true))
      let login = parts(environment.logins.amqpURL).split(separator: "://")[1].split(separator: "@")[0]
      let urls = [
        "AMQP_URL": "amqps://\(login)@\(address.split(separator: "@")[1])?verify=verify_none",
        "DATABASE_URL": "\(parts(environment.logins.databaseURL))?sslmode=require",
      ]
      func install(days: Int) async throws {
        try await certificate(servers, days: days)
        try await servers.erlang("ssl:clear_pem_cache()")
        try await servers.sql("SELECT pg_reload_conf()")
      }
      func diagnose(_ verdict: String) async throws -> Diagnosis {
        var found: Diagnosis?
        // The reloading is under way when the command returns.
        try await eventually("\(verdict) of both certificates", state: { "\(found.map(\.findings) ?? [])" }) {
          found = try await environment.diagnose(urls)
          let verdicts = ["broker certificate", "database certificate"].map { subject in
            found?.findings.first { $0.subject == subject }?.verdict
          }
          return verdicts == [verdict, verdict]
        }
        return try #require(found)
      }
      try await install(days: 3)
      let soon = try await diagnose("failure")
      #expect(soon.status == 78)
      let ends = soon.findings.filter { $0.code == "certificate-ends" }
      #expect(ends.count == 2 && ends.allSatisfy { $0.text.contains("ends in 2 days") }, "\(soon.findings)")
      #expect(ends[0].advice?.contains("rabbitmqctl eval 'ssl:clear_pem_cache().'") == true)
      #expect(ends[1].advice?.contains("SELECT pg_reload_conf()") == true)
      try await install(days: 20)
      _ = try await diagnose("warning")
      // Whoever verifies them is refused, and learns why all the same.
      try await install(days: -1)
      let ended = try await diagnose("failure")
      #expect(ended.findings.filter { $0.text.contains(" ended at ") }.count == 2, "\(ended.findings)")
      try await install(days: 365)
      _ = try await diagnose("ok")
    }
    try await servers.stop()
  }

  /// Writes a certificate for `localhost`, signed by itself, where both servers read theirs.
  private func certificate(_ servers: TestServers, days: Int) async throws {
    let place = servers.directory + "/tls"
    let data = try await servers.sql("SHOW data_directory")
    let script = """
      openssl x509 -in server.pem -noout -subject >/dev/null
      openssl req -new -key server.key -subj /CN=localhost -out new.csr
      openssl x509 -req -in new.csr -signkey server.key -days \(days) -out new.pem
      cat new.pem >server.pem
      cat new.pem >"\(data.trimmingCharacters(in: .whitespacesAndNewlines))/server.pem"
      """
    let child = try ChildProcess.start(
      "/bin/bash", ["-ec", script], environment: ["PATH": "/usr/bin:/bin"], directory: place)
    let ending = await child.ended(within: .seconds(30))
    try #require(ending == .exited(0), "\(child.standardError)")
  }
}
