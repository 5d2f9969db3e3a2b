import ArgumentParser
import Journey
import JourneyConfiguration
import JourneyPostgres
import PostgresClient

/// `journey migrate`
struct Migrate: Command {
  static let configuration = CommandConfiguration(
    abstract: "Bring the database's schema up to date.",
    discussion: """
      The role in DATABASE_URL will own the tables. Each file is a transaction; concurrent runs wait for each other. If the database's history does \
      not match the files, nothing is applied, and both are shown.
      """,
    examples: [
      "journey migrate --dry-run",
      "DATABASE_URL=postgresql://owner@localhost/journey journey migrate",
    ])

  @Flag(help: "Apply everything in a transaction and roll it back.")
  var dryRun = false

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings()
    let files = try await failing(.settings) { try Migration.load(directory: settings.migrationsDirectory) }
    do {
      report(try await settings.withDatabase(asLogin: true) { try await migrate(Migrator($0, files: files)) })
    } catch let error as MigrationError {
      throw Failure(.settings, "\(error)")
    }
  }

  /// - Returns: the migrations that were applied, or would be.
  private func migrate(_ migrator: Migrator) async throws -> [String] {
    if dryRun { return try await migrator.rehearse().map(\.fileName) }
    let isQuiet = output.json
    let applied = try await migrator.apply {
      if !isQuiet { Output.line("applying \($0.fileName)") }
    } revoked: {
      if !isQuiet { Output.line("revoked \($0)") }
    }
    return applied.map { "\($0.version)_\($0.name)" }
  }

  private func report(_ names: [String]) {
    if output.json {
      printJSON(["dryRun": dryRun, dryRun ? "pending" : "applied": names] as JSONObject)
    } else if names.isEmpty {
      Output.line("the schema is up to date")
    } else if dryRun {
      for name in names { Output.line("would apply \(name)") }
    } else {
      Output.line("\(names.count) applied")
    }
  }
}
