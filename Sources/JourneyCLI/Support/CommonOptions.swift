import ArgumentParser
import FoundationEssentials
import JourneyConfiguration
import Logging

/// What every command takes that needs settings and servers.
struct CommonOptions: ParsableArguments {
  @OptionGroup var file: FileOptions
  @OptionGroup var servers: ServerOptions

  func settings() async throws -> Settings { try await file.settings(servers) }
}

/// What a command takes that needs settings and no server.
struct LocalOptions: ParsableArguments {
  @OptionGroup var file: FileOptions
  /// Accepted, for scripts that pass the same options to all commands.
  @OptionGroup(visibility: .hidden) var servers: ServerOptions

  func settings() async throws -> Settings { try await file.settings(servers) }
}

struct FileOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The settings file, or the directory that holds it as journey.yaml.", valueName: "path"),
    completion: .file())
  var config: String?

  @Option(
    help: "trace, debug, info, notice, warning, error or critical.",
    completion: .list(["trace", "debug", "info", "notice", "warning", "error", "critical"]))
  var logLevel: String?

  func settings(_ servers: ServerOptions) async throws -> Settings {
    try await Self.settings(config, logLevel, servers)
  }

  /// - Parameter path: the settings file, or its directory; nil: where it usually is.
  static func settings(_ path: String?, _ logLevel: String?, _ servers: ServerOptions) async throws -> Settings {
    var flags: [String: String] = [:]
    flags["amqp.url"] = servers.amqpURL
    flags["database.url"] = servers.databaseURL
    flags["log.level"] = logLevel
    return try await failing(.settings) {
      try await SettingsLoader.load(path: path, flags: flags, environment: ProcessInfo.processInfo.environment)
    }
  }
}

struct ServerOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The broker; overrides AMQP_URL. A password here can be seen by other users of the machine.", valueName: "url"))
  var amqpURL: String?

  @Option(
    help: ArgumentHelp(
      "The database; overrides DATABASE_URL. A password here can be seen by other users of the machine.",
      valueName: "url"))
  var databaseURL: String?
}

/// Whether a command answers machines.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print JSON.")
  var json = false
}

extension Settings {
  /// A logger that writes to standard error, so that standard output is the command's answer alone.
  func logger() -> Logger {
    let format = LineLogHandler.Format(rawValue: logFormat) ?? .auto
    var logger = Logger(label: "journey") { _ in LineLogHandler(format) }
    logger.logLevel = Logger.Level(rawValue: logLevel) ?? .info
    return logger
  }
}
