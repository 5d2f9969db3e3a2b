import ArgumentParser
import FoundationEssentials
import JourneyConfiguration
import Logging

/// What every command that needs settings takes.
struct CommonOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The settings file, or the directory that holds it as journey.yaml.", valueName: "path"),
    completion: .file())
  var config: String?

  @Option(
    help: ArgumentHelp(
      "The broker; hides AMQP_URL. A password here can be seen by other users of the machine.", valueName: "url"))
  var amqpURL: String?

  @Option(
    help: ArgumentHelp(
      "The database; hides DATABASE_URL. A password here can be seen by other users of the machine.", valueName: "url"))
  var databaseURL: String?

  @Option(
    help: "trace, debug, info, notice, warning, error or critical.",
    completion: .list(["trace", "debug", "info", "notice", "warning", "error", "critical"]))
  var logLevel: String?

  func settings() async throws -> Settings {
    var flags: [String: String] = [:]
    flags["amqp.url"] = amqpURL
    flags["database.url"] = databaseURL
    flags["log.level"] = logLevel
    return try await failing(.settings) {
      try await SettingsLoader.load(path: config, flags: flags, environment: ProcessInfo.processInfo.environment)
    }
  }
}

/// Whether a command answers machines.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print JSON.")
  var json = false
}

extension Settings {
  /// A logger that writes to standard error, so that standard output is the command's answer alone.
  func logger() -> Logger {
    var logger = Logger(label: "journey") { PlainLogHandler(StreamLogHandler.standardError(label: $0)) }
    logger.logLevel = Logger.Level(rawValue: logLevel) ?? .info
    return logger
  }
}
