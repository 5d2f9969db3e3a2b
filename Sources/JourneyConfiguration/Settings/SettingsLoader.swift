import Configuration
import FoundationEssentials
import Yams

/// Reads the settings: flags over the environment over the file.
public enum SettingsLoader {
  /// The names of `names.…`, with the defaults.
  public static let names: [(key: String, defaultValue: String)] = [
    ("events", "journey.events"), ("ingest", "journey.ingest"), ("dead", "journey.dead"),
    ("deadLetters", "journey.dead-letters"),
    ("actions", "journey.actions"), ("outcomes", "journey.outcomes"), ("retry", "journey.retry"),
  ]

  /// The retry queues that there are.
  public static let retryTiers = ["10s", "1m", "10m", "1h"]

  private static let known: [String: [String]] = [
    "amqp": ["url", "otherUsers"] + Deadlines.keys(of: "amqp"),
    "database": ["url", "role"] + Deadlines.keys(of: "database"),
    "pipeline": ["lanes", "batchSize", "drainSeconds"] + Deadlines.keys(of: "pipeline"),
    "ingest": ["prefetch", "maximumBodyBytes"], "publish": ["window"] + Deadlines.keys(of: "publish"),
    "retry": ["unknownClient", "tiers", "attemptsPerTier"], "deadLetters": DeadLetterOptions.keys,
    "names": names.map(\.key),
    "mappings": ["directories", "tenants"],
    "decisions": ["file"], "migrations": ["directory"], "log": ["level", "statisticsSeconds"],
    "api": APIOptions.keys, "probes": ProbeOptions.keys,
  ]

  /// - Parameters:
  ///   - path: the settings file, or the directory that holds it as `journey.yaml`; nil: `JOURNEY_CONFIG`, else
  ///     `config`, where it exists.
  ///   - flags: values given on the command line, by dotted key.
  /// - Throws: `SettingsError` with every problem, a line each.
  public static func load(path: String?, flags: [String: String], environment: [String: String]) async throws
    -> Settings
  {
    let file = try locate(path ?? environment["JOURNEY_CONFIG"])
    var providers: [any ConfigProvider] = [
      InMemoryProvider(
        name: "flags",
        values: Dictionary(
          uniqueKeysWithValues: flags.map {
            (
              AbsoluteConfigKey($0.key.split(separator: ".").map(String.init)),
              ConfigValue(.string($0.value), isSecret: true)
            )
          }
        )),
      EnvironmentVariablesProvider(environmentVariables: environment, secretsSpecifier: .all),
    ]
    if let file {
      try check(file)
      let location = ConfigReader(
        provider: InMemoryProvider(values: ["filePath": ConfigValue(.string(file), isSecret: false)]))
      providers.append(try await FileProvider<YAMLSnapshot>(config: location))
    }
    var settings = try read(ConfigReader(providers: providers), file: file)
    settings.publishers = try file.flatMap(PublisherLoader.load)
    return settings
  }

  private static func locate(_ path: String?) throws -> String? {
    var isDirectory = false
    let given = path ?? "config"
    guard FileManager.default.fileExists(atPath: given, isDirectory: &isDirectory) else {
      if path == nil { return nil }
      throw SettingsError("there is no settings file or directory \(given)")
    }
    let file = isDirectory ? "\(given)/journey.yaml" : given
    if FileManager.default.fileExists(atPath: file) { return file }
    if path == nil { return nil }
    throw SettingsError("the directory \(given) holds no journey.yaml")
  }

  private static func read(_ config: ConfigReader, file: String?) throws -> Settings {
    var problems: [String] = []
    func int(_ key: String, _ defaultValue: Int, _ range: ClosedRange<Int>) -> Int {
      guard let text = config.string(forKey: ConfigKey(key)) ?? config.int(forKey: ConfigKey(key)).map(String.init)
      else { return defaultValue }
      if let value = Int(text), range.contains(value) { return value }
      problems.append("\(key): \(text) is not a whole number from \(range.lowerBound) to \(range.upperBound)")
      return defaultValue
    }
    func bool(_ key: String, _ defaultValue: Bool) -> Bool {
      guard let text = config.string(forKey: ConfigKey(key)) ?? config.bool(forKey: ConfigKey(key)).map({ "\($0)" })
      else { return defaultValue }
      if let value = ["true": true, "false": false][text.lowercased()] { return value }
      problems.append("\(key): \(text) is neither true nor false")
      return defaultValue
    }
    let base = file.map { String($0.prefix(upTo: $0.lastIndex(of: "/") ?? $0.startIndex)) } ?? ""
    func resolved(_ path: String) -> String { path.hasPrefix("/") || base.isEmpty ? path : "\(base)/\(path)" }
    let level = config.string(forKey: "log.level", default: "info")
    let levels = ["trace", "debug", "info", "notice", "warning", "error", "critical"]
    if !levels.contains(level) { problems.append("log.level: \(level) is none of \(levels.joined(separator: ", "))") }
    let tiers = config.stringArray(forKey: "retry.tiers", default: retryTiers).filter { !$0.isEmpty }
    for tier in tiers where !retryTiers.contains(tier) {
      problems.append("retry.tiers: \(tier) is none of \(retryTiers.joined(separator: ", "))")
    }
    let settings = Settings(
      amqpURL: config.secret("amqp.url"),
      otherBrokerUsers: Set(config.stringArray(forKey: "amqp.otherUsers", default: []).filter { !$0.isEmpty }),
      databaseURL: config.secret("database.url"),
      databaseRole: config.string(forKey: "database.role", default: "journey_adapter"),
      workers: int("pipeline.lanes", 2, 1...32), batchSize: int("pipeline.batchSize", 500, 1...5000),
      drainSeconds: int("pipeline.drainSeconds", 20, 1...600), prefetch: int("ingest.prefetch", 2000, 1...2000),
      maximumBodyBytes: int("ingest.maximumBodyBytes", 1 << 20, 1024...(8 << 20)),
      retriesUnknownClients: bool("retry.unknownClient", true), retryTiers: tiers,
      retryAttemptsPerTier: int("retry.attemptsPerTier", 1, 1...20),
      deadLetters: DeadLetterOptions(config, int: int, bool: bool),
      publishWindow: int("publish.window", 1024, 1...4096),
      names: Dictionary(
        uniqueKeysWithValues: names.map {
          ($0.key, config.string(forKey: ConfigKey("names.\($0.key)"), default: $0.defaultValue))
        }),
      mappingDirectories: config.stringArray(forKey: "mappings.directories", default: ["mappings"]).map(resolved),
      tenantsFile: config.string(forKey: "mappings.tenants").map(resolved),
      decisionFile: config.string(forKey: "decisions.file").map(resolved),
      migrationsDirectory: resolved(config.string(forKey: "migrations.directory", default: "../migrations")),
      logLevel: level,
      statisticsSeconds: int("log.statisticsSeconds", 10, 0...3600),
      deadlines: Deadlines.load(int), api: APIOptions(config, int: int, bool: bool, resolved: resolved),
      probes: ProbeOptions(config, int: int))
    problems +=
      settings.deadlines.problems + settings.api.problems
      + settings.deadLetters.problems(maxReadBytes: settings.maximumBodyBytes)
    guard problems.isEmpty else { throw SettingsError(problems.joined(separator: "\n")) }
    return settings
  }

  /// A key that nothing reads is a mistake of the person who wrote it.
  private static func check(_ file: String) throws {
    guard let data = FileManager.default.contents(atPath: file), let text = String(validating: data, as: UTF8.self)
    else {
      throw SettingsError("\(file) cannot be read as UTF-8 text")
    }
    let problems = YAMLDiagnosticList(file: file)
    if let root = MappingLoader.compose(text, problems),
      let sections = root.members((known.keys + [PublisherLoader.section]).sorted())
    {
      for (name, field) in sections where name != PublisherLoader.section { _ = field.members(known[name] ?? []) }
    }
    guard problems.problems.isEmpty else {
      throw SettingsError(problems.problems.map(\.description).joined(separator: "\n"))
    }
  }
}

extension ConfigReader {
  /// A secret, without the line breaks at its end: a file that a line was written to ends with one, and so does what a
  /// container reads of it. Empty where there is none.
  func secret(_ key: ConfigKey) -> String {
    var text = Substring(string(forKey: key, isSecret: true, default: ""))
    while let last = text.unicodeScalars.last, last == "\n" || last == "\r" { text.unicodeScalars.removeLast() }
    return String(text)
  }
}
