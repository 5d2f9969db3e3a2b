import JourneyConfiguration
import JourneyPostgres
import PostgresClient

/// What `journey doctor` checks in the host's database: privileges on the adapter's objects, and the types of the host's
/// columns.
extension DiagnosticReport {
  mutating func access(_ settings: JourneyConfiguration.Settings) async {
    var warnings: [String] = []
    await check(
      "access",
      advice: "run journey migrate as the owner of the tables; an administrator revokes what the owner may not"
    ) {
      let found = try await settings.withDatabase {
        try await AccessCheck.run(on: $0)
      }
      warnings = found.warnings
      guard found.problems.isEmpty else { throw Failure(.settings, found.problems.joined(separator: "\n")) }
      return "anon, authenticated and journey_adapter have exactly the privileges that they need"
    }
    if !warnings.isEmpty {
      add("host", .warning, warnings.joined(separator: "\n"), "revoke the privileges, unless the host needs them")
    }
    await check(
      "host columns", advice: "change the columns' types, or add the columns that are missing",
      DatabaseChecks(settings: settings).hostColumns)
  }
}
