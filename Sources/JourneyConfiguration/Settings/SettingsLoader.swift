import Configuration
import FoundationEssentials
import Yams

/// Reads the settings: flags over the environment over the file over the credentials of systemd.
public enum SettingsLoader {
  /// - Parameters:
  ///   - path: the settings file, or the directory that holds it as `journey.yaml`; nil: `JOURNEY_CONFIG`, else the
  ///     first of `standard` that holds it, if any.
  ///   - flags: values given on the command line, by dotted key.
  /// - Throws: `SettingsError` with every problem, a line each.
  public static func load(
    path: String?, flags: [String: String], environment: [String: String], standard: [String] = InstalledFiles.settings,
    data: String? = InstalledFiles.data
  ) async throws -> Settings {
    let file = try file(path: path, environment: environment, standard: standard)
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
      EnvironmentVariablesProvider(
        environmentVariables: EnvironmentVariables(environment).values, secretsSpecifier: .all),
    ]
    if let file {
      try check(file)
      let location = ConfigReader(
        provider: InMemoryProvider(values: ["filePath": ConfigValue(.string(file), isSecret: false)]))
      providers.append(try await FileProvider<YAMLSnapshot>(config: location))
    }
    let directory = file.map { String($0.prefix(upTo: $0.lastIndex(of: "/") ?? $0.startIndex)) } ?? ""
    let reader = SettingsReader(
      providers: providers, directory: directory, data: data, credentials: environment["CREDENTIALS_DIRECTORY"])
    let variables = EnvironmentVariables(environment, isSet: reader.hasSecret)
    variables.problems.forEach(reader.report)
    variables.warnings.forEach(reader.warn)
    var settings = Settings(reader)
    guard reader.problems.isEmpty else { throw SettingsError(reader.problems.joined(separator: "\n")) }
    settings.file = file
    settings.publishers = try file.flatMap(PublisherLoader.load)
    return settings
  }

  /// The settings file that `load` reads; nil if there is none.
  ///
  /// - Throws: `SettingsError` if what is named is not there.
  public static func file(
    path: String?, environment: [String: String], standard: [String] = InstalledFiles.settings
  ) throws -> String? {
    try (path ?? environment["JOURNEY_CONFIG"]).map(locate)
      ?? standard.map { "\($0)/journey.yaml" }.first(where: FileManager.default.fileExists(atPath:))
  }

  private static func locate(_ path: String) throws -> String {
    var isDirectory = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
      throw SettingsError("there is no settings file or directory \(path)")
    }
    let file = isDirectory ? "\(path)/journey.yaml" : path
    if FileManager.default.fileExists(atPath: file) { return file }
    throw SettingsError(
      "the directory \(path) holds no journey.yaml (a directory of mapping files is given with --directory)")
  }

  /// Rejects unknown keys.
  private static func check(_ file: String) throws {
    guard let text = YAMLDocument.text(of: file) else {
      throw SettingsError("\(file) cannot be read as UTF-8 text")
    }
    let problems = YAMLDiagnosticList(file: file)
    let known = Dictionary(grouping: Settings.all, by: \.section)
    for (name, field) in YAMLDocument.root(of: text, problems)?.members(known.keys.sorted()) ?? [:]
    where name != PublisherLoader.section {
      let settings = known[name] ?? []
      _ = field.members(settings.map(\.name), deprecated: settings.compactMap(\.deprecatedName))
    }
    guard problems.problems.isEmpty else {
      throw SettingsError(problems.problems.map(\.description).joined(separator: "\n"))
    }
  }
}
