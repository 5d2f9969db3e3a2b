import ArgumentParser
import FoundationEssentials
import JourneyConfiguration

/// `journey doctor`
struct Doctor: Command {
  static let configuration = CommandConfiguration(
    abstract:
      "Check settings, rules, broker, database and the work under way, and advise what to fix. Changes nothing.",
    discussion: """
      Takes one to two seconds, and three more where messages wait: it looks at the queues several times then. An unreachable server adds up to five \
      seconds.
      Exit status: 0 if there is no failure (warnings do not count); 69 if servers are not reachable and nothing else fails; 78 otherwise.
      """,
    examples: ["journey doctor", "journey doctor --config /etc/journey --json"])

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    var report = DiagnosticReport()
    var settings: JourneyConfiguration.Settings?
    await report.check(
      "settings", .settingsInvalid, advice: "correct what is named; journey settings describe lists every key"
    ) {
      let read = try await common.settings()
      settings = read
      return "\(try common.sourceOfSettings()); \(read.workers) workers, at most \(read.batchSize) events in a commit"
    }
    if let settings {
      for warning in settings.warnings { report.add("settings", .warning, .settingsDoubtful, warning) }
      await report.rules(settings)
      let broker = await report.broker(settings)
      let database = await report.database(settings)
      await report.links(settings)
      await report.certificates(settings)
      await report.work(settings, broker, database)
    }
    if output.json { printJSON(report.findings) } else { report.show() }
    if let status = report.status { throw ExitCode(status.rawValue) }
  }
}

extension CommonOptions {
  /// The settings file, as `doctor` says it.
  fileprivate func sourceOfSettings() throws -> String {
    if let file = try SettingsLoader.file(path: file.config, environment: ProcessInfo.processInfo.environment) {
      return "from \(file), the environment and the command line"
    }
    let files = InstalledFiles.settings.map { DiagnosticReport.absolute("\($0)/journey.yaml") }
    return
      "no settings file: there is neither \(files.joined(separator: " nor ")); from the environment and the command line"
  }
}
