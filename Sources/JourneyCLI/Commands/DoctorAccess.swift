import JourneyConfiguration
import JourneyPostgres
import PostgresClient

/// What `journey doctor` looks at in the host's database: who may do what with the adapter's objects, and what the
/// host's columns are.
extension DiagnosticReport {
  mutating func access(_ settings: JourneyConfiguration.Settings) async {
    var warnings: [String] = []
    await check(
      "access", advice: "run journey migrate as the owner of the tables; have an administrator revoke what it may not"
    ) {
      let found = try await withDatabase(settings, role: settings.workingRole, "doctor") {
        try await AccessCheck.run(on: $0)
      }
      warnings = found.warnings
      guard found.problems.isEmpty else { throw Failure(.settings, found.problems.joined(separator: "\n")) }
      return "anon, authenticated and journey_adapter hold what they are meant to, and no more"
    }
    if !warnings.isEmpty {
      add(
        "host", .warning, warnings.joined(separator: "\n"),
        "revoke it, unless the host needs it")
    }
    await check("host columns", advice: "change the columns' types, or add the columns that are missing") {
      let problems = try await withDatabase(settings, role: settings.workingRole, "doctor") {
        try await HostColumns.problems($0)
      }
      guard problems.isEmpty else { throw Failure(.settings, problems.joined(separator: "\n")) }
      return "of types that the adapter works with"
    }
  }
}
