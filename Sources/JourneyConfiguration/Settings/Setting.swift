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
      switch self {
      case .integer(let value): try value.encode(to: encoder)
      case .boolean(let value): try value.encode(to: encoder)
      case .text(let value): try value.encode(to: encoder)
      case .list(let value): try value.encode(to: encoder)
      }
    }
  }

  /// The dotted path in the file: `pipeline.workers`.
  public let key: String
  /// The name in the environment; nil for what only the file can say.
  public let environment: String?
  public let kind: Kind
  public let defaultValue: Value?
  /// A sentence without a full stop. `docs/NAME.md` becomes a link.
  public let meaning: String
  public var unit: Unit?
  public var minimum: Int?
  public var maximum: Int?
  /// The permitted values; nil: any.
  public var choices: [String]?
  public var isSecret = false
  /// The key's former name, which is still accepted with a warning.
  public var deprecatedKey: String?
  /// What `config/journey.yaml` says instead of the default: YAML. With `#` before it the file shows it as a comment.
  var example: String?

  private enum CodingKeys: String, CodingKey {
    case key, environment, unit, minimum, maximum, choices, deprecatedKey, meaning
    case kind = "type"
    case defaultValue = "default"
    case isSecret = "secret"
  }

  init(_ key: String, _ kind: Kind, _ defaultValue: Value?, _ meaning: String) {
    self.key = key
    self.kind = kind
    self.defaultValue = defaultValue
    self.meaning = meaning
    environment = kind == .section ? nil : Self.environmentName(key)
  }

  var section: String { String(key.prefix { $0 != "." }) }
  /// The key within its section.
  var name: String { String(key.dropFirst(section.count + 1)) }
  var deprecatedName: String? { deprecatedKey.map { String($0.dropFirst(section.count + 1)) } }

  /// As `EnvironmentVariablesProvider` forms it.
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
}
