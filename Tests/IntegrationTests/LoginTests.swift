import TestServers
import Testing

@testable import TestSupport

/// The logins of these tests have only the privileges that docs/operations.md describes.
@Suite struct LoginTests {
  @Test func programsLogInWithLeastPrivileges() async throws {
    try await TestEnvironment.with { environment in
      let program = try await environment.serve(.defaultProfile)
      let sessions = try await environment.rows(
        """
        SELECT DISTINCT usename, rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls FROM pg_stat_activity JOIN pg_roles ON rolname = usename
        WHERE datname = current_database() AND application_name = 'journey'
        """)
      #expect(sessions.count == 1 && sessions[0][0].hasPrefix("login_") && sessions[0][1] == "f", "\(sessions)")
      let owner = try await environment.rows(
        "SELECT DISTINCT rolname, rolsuper FROM pg_class JOIN pg_roles r ON r.oid = relowner WHERE relname LIKE 'journey%'"
      )
      #expect(owner.count == 1 && owner[0][0].hasPrefix("owner_") && owner[0][1] == "f", "\(owner)")
      let users = try await environment.servers.erlang(
        "[User || C <- rabbit_networking:connections(), [{user, User}, {vhost, <<\"\(environment.vhost)\">>}, {client_properties, P}] <- "
          + "[rabbit_reader:info(C, [user, vhost, client_properties])], lists:keymember(<<\"connection_name\">>, 1, P)]"
      )
      #expect(users.contains("adapter-\(environment.vhost)"), "\(users)")
      let doctor = try await environment.succeed(["doctor"])
      #expect(!doctor.contains("WARNING  login") && doctor.contains("logged in as login_"), "\(doctor)")
      try await environment.stop(program)
    }
  }
}
