/// One key of the settings, as the documentation shows it.
public struct Setting: Encodable, Sendable {
  public enum Kind: String, Encodable, Sendable {
    case integer, boolean, text, list, path, paths, section
  }

  public enum Unit: String, Encodable, Sendable {
    case seconds, days, bytes
  }

  public enum Value: Encodable, Hashable, Sendable {
    case integer(Int)
    case boolean(Bool)
    case text(String)
    case list([String])

    public func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .integer(let value): try container.encode(value)
      case .boolean(let value): try container.encode(value)
      case .text(let value): try container.encode(value)
      case .list(let value): try container.encode(value)
      }
    }
  }

  /// The dotted path in the file: `pipeline.workers`.
  public var key: String
  public var kind: Kind
  public var unit: Unit?
  public var minimum: Int?
  public var maximum: Int?
  /// The permitted values; nil: any.
  public var choices: [String]?
  public var defaultValue: Value?
  /// What `config/journey.yaml` says instead of the default: YAML. With `#` before it the file shows it as a comment.
  public var example: String?
  public var isSecret = false
  /// The key's former name, which is still accepted with a warning.
  public var deprecatedKey: String?
  /// A sentence without a full stop. `docs/NAME.md` becomes a link.
  public var meaning: String

  /// The name in the environment, as `EnvironmentVariablesProvider` forms it; nil for what only the file can say.
  public var environment: String? { kind == .section ? nil : Self.environmentName(key) }

  var section: String { String(key.prefix { $0 != "." }) }
  /// The key within its section.
  var name: String { String(key.dropFirst(section.count + 1)) }
  var deprecatedName: String? { deprecatedKey.map { String($0.dropFirst(section.count + 1)) } }

  static func environmentName(_ key: String) -> String {
    var name = ""
    var previous: Character = "."
    for character in key {
      if previous.isLowercase, character.isUppercase { name += "_" }
      name += character == "." ? "_" : character.uppercased()
      previous = character
    }
    return name
  }

  private enum CodingKeys: String, CodingKey {
    case key, environment, type, unit, minimum, maximum, choices, `default`, secret, deprecatedKey, meaning
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(key, forKey: .key)
    try container.encodeIfPresent(environment, forKey: .environment)
    try container.encode(kind, forKey: .type)
    try container.encodeIfPresent(unit, forKey: .unit)
    try container.encodeIfPresent(minimum, forKey: .minimum)
    try container.encodeIfPresent(maximum, forKey: .maximum)
    try container.encodeIfPresent(choices, forKey: .choices)
    try container.encodeIfPresent(defaultValue, forKey: .default)
    try container.encode(isSecret, forKey: .secret)
    try container.encodeIfPresent(deprecatedKey, forKey: .deprecatedKey)
    try container.encode(meaning, forKey: .meaning)
  }
}
