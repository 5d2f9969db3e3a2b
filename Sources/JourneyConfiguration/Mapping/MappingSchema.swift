import FoundationEssentials

/// The JSON Schema of mapping files, for editors and for `scripts/contracts`.
public enum MappingSchema {
  public static func json() throws -> String {
    var schema = MappingLanguage.file.schema
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$id"] = "https://client-journey-adapter.example/contracts/mapping.schema.json"
    schema["title"] = "Mapping file"
    schema["description"] = """
      How a source's bodies become events. See docs/mapping.md. For an editor: \
      # yaml-language-server: $schema=…/contracts/schemas/mapping.schema.json
      """
    var definitions: [String: SchemaValue] = [
      "constant": ["type": ["string", "number", "boolean"]],
      "reference": [
        "type": "string",
        "pattern": .string(
          #"^(\$|body:\$|outer:\$|header:.|property:("# + MappingLanguage.properties.joined(separator: "|") + ")$)"),
      ],
    ]
    for (name, meaning, form) in MappingLanguage.named {
      definitions[name] = form.schema.describing(meaning)
    }
    schema["$defs"] = .object(definitions)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(SchemaValue.object(schema)), as: UTF8.self)
  }
}

extension MappingObject {
  fileprivate var schema: [String: SchemaValue] {
    var schema: [String: SchemaValue] = [
      "type": "object", "additionalProperties": false,
      "properties": .object(
        Dictionary(uniqueKeysWithValues: keys.map { ($0.name, $0.form.schema.describing($0.meaning)) })),
    ]
    let required = keys.filter(\.isRequired).map { SchemaValue.string($0.name) }
    if !required.isEmpty { schema["required"] = .array(required) }
    if !exactlyOneOf.isEmpty { schema["oneOf"] = .array(exactlyOneOf.map { ["required": [.string($0)]] }) }
    if !isEmptyAllowed { schema["minProperties"] = 1 }
    return schema
  }
}

extension MappingForm {
  fileprivate var schema: SchemaValue {
    switch self {
    case .text: ["type": "string"]
    case .number: ["type": "number"]
    case .flag: ["type": "boolean"]
    case .null: ["type": "null"]
    case .constant: ["$ref": "#/$defs/constant"]
    case .reference: ["$ref": "#/$defs/reference"]
    case .keyword(let words): ["enum": .array(words.map(SchemaValue.string))]
    case .list(let form): ["type": "array", "items": form.schema, "minItems": 1]
    case .oneOrMany(let form): ["anyOf": [form.schema, MappingForm.list(form).schema]]
    case .map(let form): ["type": "object", "additionalProperties": form.schema]
    case .object(let object): .object(object.schema)
    case .either(let forms): ["anyOf": .array(forms.map(\.schema))]
    case .named(let name): ["$ref": .string("#/$defs/\(name)")]
    }
  }
}

/// A JSON value of a schema.
private enum SchemaValue: Encodable, ExpressibleByStringLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByIntegerLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  case string(String)
  case integer(Int)
  case boolean(Bool)
  case array([SchemaValue])
  case object([String: SchemaValue])

  init(stringLiteral value: String) { self = .string(value) }
  init(integerLiteral value: Int) { self = .integer(value) }
  init(booleanLiteral value: Bool) { self = .boolean(value) }
  init(arrayLiteral elements: SchemaValue...) { self = .array(elements) }
  init(dictionaryLiteral elements: (String, SchemaValue)...) {
    self = .object(Dictionary(uniqueKeysWithValues: elements))
  }

  func describing(_ meaning: String) -> SchemaValue {
    guard case .object(var members) = self else { return self }
    members["description"] = .string(meaning.replacing("`", with: ""))
    return .object(members)
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .string(let value): try container.encode(value)
    case .integer(let value): try container.encode(value)
    case .boolean(let value): try container.encode(value)
    case .array(let values): try container.encode(values)
    case .object(let members): try container.encode(members)
    }
  }
}
