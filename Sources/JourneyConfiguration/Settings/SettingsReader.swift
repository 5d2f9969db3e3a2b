import Configuration
import FoundationEssentials

/// Reads each setting from the flags, the environment or the file, and records its description.
///
/// The initialisers of `Settings` and of its parts are the only list of the keys: the loader reads with them, and the
/// documentation, the file of defaults and the check for unknown keys come from what they record.
final class SettingsReader {
  /// In the order of precedence.
  private let layers: [ConfigReader]
  private let config: ConfigReader
  /// Relative paths start here; empty: the working directory.
  private let directory: String
  /// The directory of an installed program's own files; nil: it is not installed.
  private let data: String?
  /// The directory of systemd's credentials.
  private let credentials: String?
  private(set) var settings: [Setting] = []
  /// Wrong values, a line each.
  private(set) var problems: [String] = []
  /// What should be changed though it works, a line each.
  private(set) var warnings: [String] = []

  /// `key=value` of the settings that differ from their defaults, in the order of the documentation.
  var changed: [String] {
    settings.compactMap { setting in
      guard let text = given(setting), text != (setting.defaultText(list: ",") ?? "") else { return nil }
      // A URL may hold a password.
      let isSecret = setting.isSecret || text.contains("@") || text.contains("://")
      return "\(setting.key)=\(isSecret ? "(set)" : text)"
    }
  }

  /// The value that a setting is given, as text.
  private func given(_ setting: Setting) -> String? {
    let key = ConfigKey(setting.key)
    return switch setting.kind {
    case .integer: config.number(setting.key) ?? setting.deprecatedKey.flatMap(config.number)
    case .list, .paths: config.stringArray(forKey: key).map { $0.joined(separator: ",") }
    case .boolean: config.string(forKey: key) ?? config.bool(forKey: key).map { "\($0)" }
    case .text, .path: config.string(forKey: key, isSecret: setting.isSecret)
    case .section: nil
    }
  }

  /// Whether a setting is a secret that is given, or may be in a file of secrets.
  func hasSecret(_ setting: Setting) -> Bool {
    guard setting.isSecret else { return false }
    return given(setting) != nil || credentials != nil || config.string(forKey: ConfigKey("\(setting.key)File")) != nil
  }

  init(
    providers: [any ConfigProvider] = [InMemoryProvider(values: [:])], directory: String = "", data: String? = nil,
    credentials: String? = nil
  ) {
    layers = providers.map { ConfigReader(provider: $0) }
    config = ConfigReader(providers: providers)
    self.directory = directory
    self.data = data
    self.credentials = credentials
  }

  func integer(
    _ key: String, _ defaultValue: Int, _ range: ClosedRange<Int>, unit: Setting.Unit? = nil,
    deprecatedKey: String? = nil, _ meaning: String
  ) -> Int {
    record(key, .integer, .integer(defaultValue), meaning) {
      $0.unit = unit
      $0.minimum = range.lowerBound
      $0.maximum = range.upperBound
      $0.deprecatedKey = deprecatedKey
    }
    guard let (key, text) = number(key, deprecatedKey) else { return defaultValue }
    if let value = Int(text), range.contains(value) { return value }
    problems.append("\(key): \(text) is not a whole number from \(range.lowerBound) to \(range.upperBound)")
    return defaultValue
  }

  func boolean(_ key: String, _ defaultValue: Bool, _ meaning: String) -> Bool {
    record(key, .boolean, .boolean(defaultValue), meaning)
    guard let text = config.string(forKey: ConfigKey(key)) ?? config.bool(forKey: ConfigKey(key)).map({ "\($0)" })
    else { return defaultValue }
    if let value = ["true": true, "false": false][text.lowercased()] { return value }
    problems.append("\(key): \(text) is neither true nor false")
    return defaultValue
  }

  func text(_ key: String, _ defaultValue: String, oneOf choices: [String]? = nil, _ meaning: String) -> String {
    record(key, .text, .text(defaultValue), meaning) { $0.choices = choices }
    let text = config.string(forKey: ConfigKey(key), default: defaultValue)
    require(text, key, choices)
    return text
  }

  /// A text without a default. An empty one counts as absent.
  func text(_ key: String, example: String, _ meaning: String) -> String? {
    record(key, .text, nil, meaning) { $0.example = "# \(example)" }
    return config.string(forKey: ConfigKey(key)).flatMap { $0.isEmpty ? nil : $0 }
  }

  /// A secret without line breaks at its end, empty if there is none. The first layer that holds it, or names the file
  /// that holds it, decides; after all layers comes the credential of systemd.
  func secret(_ key: String, credential: String, _ meaning: String) -> (text: String, file: SecretFile?) {
    let fileKey = "\(key)File"
    record(key, .text, nil, meaning) { $0.isSecret = true }
    record(fileKey, .path, nil, "file that holds `\(key)`, see docs/operations.md#secrets") {
      $0.example = "# /etc/journey/live/\(credential)"
    }
    for layer in layers {
      let text = layer.string(forKey: ConfigKey(key), isSecret: true, default: "").withoutLineBreaksAtTheEnd
      let path = layer.string(forKey: ConfigKey(fileKey), default: "")
      if !text.isEmpty, !path.isEmpty { problems.append("\(fileKey): \(key) is set as well; set one of them") }
      if !text.isEmpty { return (text, nil) }
      if !path.isEmpty { return read(absolute(path), fileKey) }
    }
    guard let path = credentials.map({ "\($0)/\(credential)" }), FileManager.default.fileExists(atPath: path) else {
      return ("", nil)
    }
    // journey.service has an empty one for a missing file.
    let content = FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    if content?.withoutLineBreaksAtTheEnd.isEmpty == true { return ("", nil) }
    return read(path, "credential \(credential)")
  }

  private func read(_ path: String, _ name: String) -> (String, SecretFile?) {
    do throws(SettingsError) {
      let file = try SecretFile(name: name, path: path)
      if file.isOpenToAll { warn("\(name): every user of this machine can read \(path); run: chmod o= \(path)") }
      return (file.text, file)
    } catch {
      problems.append(error.description)
      return ("", nil)
    }
  }

  func list(_ key: String, _ defaultValue: [String], of choices: [String]? = nil, _ meaning: String) -> [String] {
    record(key, .list, .list(defaultValue), meaning) { $0.choices = choices }
    let items = config.stringArray(forKey: ConfigKey(key), default: defaultValue).filter { !$0.isEmpty }
    for item in items { require(item, key, choices) }
    return items
  }

  /// A path of what comes with the program.
  /// - Parameter installed: its name in the directory of an installed program's own files, which is its default.
  func path(_ key: String, _ defaultValue: String, installed: String, _ meaning: String) -> String {
    record(key, .path, .text(defaultValue), meaning) { $0.example = "# \(defaultValue)" }
    if let path = config.string(forKey: ConfigKey(key)) { return absolute(path) }
    return own(installed) ?? absolute(defaultValue)
  }

  /// A path without a default.
  ///
  /// - Parameter isNoneIfEmpty: whether an empty text counts as absent.
  func path(_ key: String, example: String, isNoneIfEmpty: Bool = false, _ meaning: String) -> String? {
    record(key, .path, nil, meaning) { $0.example = example }
    guard let path = config.string(forKey: ConfigKey(key)), !(path.isEmpty && isNoneIfEmpty) else { return nil }
    return absolute(path)
  }

  /// Paths of what comes with the program. By default an installed program reads its own files first, then those at the
  /// default path, if there are any.
  func paths(_ key: String, _ defaultValue: String, installed: String, _ meaning: String) -> [String] {
    record(key, .paths, .list([defaultValue]), meaning) { $0.example = "# [\(defaultValue)]" }
    if let paths = config.stringArray(forKey: ConfigKey(key)) { return paths.map(absolute) }
    let other = absolute(defaultValue)
    return own(installed).map { InstalledFiles.exists(other) ? [$0, other] : [$0] } ?? [other]
  }

  private func own(_ name: String) -> String? {
    data.map { "\($0)/\(name)" }.flatMap { InstalledFiles.exists($0) ? $0 : nil }
  }

  /// A section that another loader reads, from the file alone.
  func section(_ key: String, example: String, _ meaning: String) {
    record(key, .section, nil, meaning) { $0.example = "# \(example)" }
  }

  func report(_ problem: String) { problems.append(problem) }
  func warn(_ warning: String) { warnings.append(warning) }

  private func record(
    _ key: String, _ kind: Setting.Kind, _ defaultValue: Setting.Value?, _ meaning: String,
    _ details: (inout Setting) -> Void = { _ in }
  ) {
    var setting = Setting(key, kind, defaultValue, meaning)
    details(&setting)
    settings.append(setting)
  }

  /// The text of a number under its key or its former one. The first layer that has either decides.
  private func number(_ key: String, _ deprecatedKey: String?) -> (key: String, text: String)? {
    guard let deprecatedKey else { return config.number(key).map { (key, $0) } }
    for layer in layers {
      let text = layer.number(key), former = layer.number(deprecatedKey)
      if let former {
        warnings.append(
          "\(deprecatedKey) (\(Setting.environmentName(deprecatedKey))) is deprecated: write \(key) (\(Setting.environmentName(key)))"
        )
        if let text, text != former {
          problems.append("\(deprecatedKey): \(former) differs from \(key): \(text); write \(key) alone")
        }
      }
      if let text { return (key, text) }
      if let former { return (deprecatedKey, former) }
    }
    return nil
  }

  private func require(_ text: String, _ key: String, _ choices: [String]?) {
    if let choices, !choices.contains(text) {
      let hint = nearest(text, among: choices).map { "; did you mean \($0)?" } ?? ""
      problems.append("\(key): \(text) is none of \(choices.joined(separator: ", "))\(hint)")
    }
  }

  private func absolute(_ path: String) -> String {
    path.hasPrefix("/") || directory.isEmpty ? path : "\(directory)/\(path)"
  }
}

extension ConfigReader {
  /// The text of a number: environment values are strings; YAML values may be integers.
  fileprivate func number(_ key: String) -> String? {
    string(forKey: ConfigKey(key)) ?? int(forKey: ConfigKey(key)).map(String.init)
  }
}
