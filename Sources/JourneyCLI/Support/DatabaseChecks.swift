import Journey
import JourneyConfiguration
import JourneyPostgres

/// What has to be in order in the database: `serve` checks it at its start, `doctor` on request.
///
/// Each check returns what it has found in order, and throws a `Failure` that says what is not.
struct DatabaseChecks {
  let settings: JourneyConfiguration.Settings

  func sessions() async throws -> String {
    if let problem = try await SessionCheck.run(settings.database(role: nil)) {
      throw Failure(.settings, problem, advice: SessionCheck.advice)
    }
    return "a session outlives its transactions"
  }

  func schema() async throws -> String {
    let files = try Migration.load(directory: settings.migrationsDirectory)
    let pending = try await settings.withDatabase(asLogin: true) { try await Migrator($0, files: files).pending() }
    guard pending.isEmpty else {
      let names = pending.map(\.fileName).joined(separator: ", ")
      throw Failure(.settings, "the schema lacks \(names)", advice: "run: \(Advice.migrate)")
    }
    return "\(files.count) migrations applied"
  }

  func inspection() async throws -> StoreInspection {
    try await settings.withDatabase { try await StoreInspection.run(on: $0) }
  }

  func hostColumns() async throws -> String {
    let problems = try await settings.withDatabase { try await HostColumns.problems($0) }
    guard problems.isEmpty else {
      throw Failure(
        .settings, "the adapter cannot work with the host's tables:\n" + problems.joined(separator: "\n"),
        advice: "change the columns' types, or add the columns that are missing")
    }
    return "of types that the adapter supports"
  }

  func commits() async throws -> String {
    let signals = try await settings.decisions().signals
    let keepsRawBodies = settings.rawBodies.isOn
    let problem = try await settings.withDatabase {
      try await CommitCheck.problem($0, signals: signals, keepsRawBodies: keepsRawBodies)
    }
    if let problem {
      throw Failure(
        .settings, "the database would refuse every event: \(problem)",
        advice: "fix what the message names, or run: \(Advice.migrate)")
    }
    return "a commit works"
  }
}
