import Foundation
import TestServers
import Testing

@testable import TestSupport

/// `migrate`, `doctor` and `serve` on a host's database with excess privileges or unsupported column types.
@Suite struct HostDatabaseTests {
  @Test func tooManyPrivilegesAreNamedAndTakenBack() async throws {
    try await TestEnvironment.with { environment in
      let before = try await environment.run(["doctor"])
      #expect(before.output.contains("ok       access"), "\(before.output)")
      #expect(before.status == 0, "\(before.output)")
      try await environment.execute(
        "GRANT EXECUTE ON FUNCTION journey_merge_clients(uuid, uuid, uuid) TO anon; GRANT UPDATE ON journey_outbox TO authenticated"
      )
      let doctor = try await environment.run(["doctor"])
      #expect(doctor.status == 78)
      #expect(doctor.output.contains("FAILED   access"))
      #expect(doctor.output.contains("anon holds EXECUTE on journey_merge_clients(uuid,uuid,uuid)"), "\(doctor.output)")
      #expect(doctor.output.contains("authenticated holds UPDATE on journey_outbox"), "\(doctor.output)")
      let migrate = try await environment.run(["migrate"])
      #expect(migrate.status == 0, "\(migrate.errors)")
      #expect(
        migrate.output.contains("revoked EXECUTE on journey_merge_clients(uuid,uuid,uuid) from anon"),
        "\(migrate.output)")
      #expect(try await environment.run(["doctor"]).status == 0)
    }
  }

  @Test func whatMigrateMayNotTakeBackFailsIt() async throws {
    try await TestEnvironment.with { environment in
      // Granted by a role that the owner cannot act as.
      let name = "grantor_\(try await environment.rows("SELECT current_database()")[0][0])"
      try await environment.execute(
        """
        CREATE ROLE \(name); GRANT SELECT ON journey_outbox TO \(name) WITH GRANT OPTION; GRANT USAGE ON SCHEMA public TO \(name);
        SET ROLE \(name); GRANT SELECT ON journey_outbox TO anon; RESET ROLE
        """)
      let migrate = try await environment.run(["migrate"])
      #expect(migrate.status == 78)
      #expect(migrate.errors.contains("anon holds SELECT on journey_outbox"), "\(migrate.errors)")
    }
  }

  @Test func columnsThatDoNotFitAreNamed() async throws {
    try await TestEnvironment.with { environment in
      try await environment.execute(
        "ALTER TABLE contacts ALTER ai_score TYPE text; ALTER TABLE organizations ALTER name DROP DEFAULT, ALTER name TYPE json USING NULL"
      )
      for command in [["migrate"], ["serve", "--config", Profile.defaultProfile.configuration], ["doctor"]] {
        let finished = try await environment.run(command)
        #expect(finished.status == 78, "\(command)")
        let said = finished.errors + finished.output
        #expect(
          said.contains("contacts.ai_score is of type text; accepted are numeric, double precision, real"),
          "\(command): \(said)")
        #expect(
          said.contains("organizations.name is of type json; accepted are text, character varying"),
          "\(command): \(said)")
      }
    }
  }
}
