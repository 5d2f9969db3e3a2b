import ArgumentParser
import Journey
import JourneyConfiguration
import JourneyPostgres
import PostgresClient

/// `journey migrate`
struct Migrate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Bring the database's schema up to date.",
    discussion: """
      Logs in as DATABASE_URL says; that role will own the tables. Each file is a transaction of its own; runs of several processes queue. A history that \
      does not match the files is refused, with both shown.
      """)

  @Flag(name: .long, help: "Try everything in a transaction and take it back.")
  var dryRun = false

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await withExitStatus {
      let settings = try await common.settings()
      let files = try await failing(.settings) { try Migration.load(directory: settings.migrationsDirectory) }
      do {
        report(try await withDatabase(settings, role: nil, "migrate") { try await migrate(Migrator($0, files: files)) })
      } catch let error as MigrationError {
        throw Failure(.settings, "\(error)")
      }
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
      printJSON { json in
        json.beginObject()
        json.key("dryRun")
        json.bool(dryRun)
        json.key(dryRun ? "pending" : "applied")
        json.beginArray()
        for name in names { json.string(name) }
        json.endArray()
        json.endObject()
      }
    } else if names.isEmpty {
      Output.line("the schema is up to date")
    } else if dryRun {
      for name in names { Output.line("would apply \(name)") }
    } else {
      Output.line("\(names.count) applied")
    }
  }
}
