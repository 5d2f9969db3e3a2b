import Journey

/// The mapping language as documentation.
public struct MappingLanguageReference: Encodable, Sendable {
  struct Object: Encodable {
    var name: String
    var meaning: String
    var keys: [Key]
    var exactlyOneOf: [String]
  }

  struct Key: Encodable {
    var key: String
    var form: String
    var meaning: String
    var required: Bool
  }

  let objects: [Object]
  let words: [Key]
  let eventTypes = EventTypes.all

  public init() {
    objects = MappingLanguage.objects.map { object in
      Object(
        name: object.name, meaning: object.meaning,
        keys: object.keys.map { Key(key: $0.name, form: $0.form.label, meaning: $0.meaning, required: $0.isRequired) },
        exactlyOneOf: object.exactlyOneOf)
    }
    words = MappingLanguage.stepWords.map { Key(key: $0.name, form: "", meaning: $0.meaning, required: false) }
  }

  /// A section for each object.
  public var markdown: String {
    var text = ""
    for object in objects {
      text +=
        "\n#### Keys of `\(object.name)`\n\n\(object.meaning.prefix(1).uppercased())\(object.meaning.dropFirst())."
      if let form = MappingLanguage.named.first(where: { $0.name == object.name }), form.name != "condition" {
        text += " Short forms: \(form.meaning)."
      }
      if !object.exactlyOneOf.isEmpty {
        text += " Exactly one of \(object.exactlyOneOf.map { "`\($0)`" }.joined(separator: ", ")) is needed."
      }
      text += "\n\n| key | value | meaning |\n|---|---|---|\n"
      if object.name == "step" { for word in words { text += row(word) } }
      for key in object.keys { text += row(key) }
    }
    text += "\n#### Event types\n\nThe canonical types. Who acts can be changed by a rule (`by`).\n"
    text += "\n| type | by | when |\n|---|---|---|\n"
    for entry in eventTypes { text += "| `\(entry.type)` | `\(entry.by)` | \(entry.meaning) |\n" }
    return String(text.dropFirst())
  }

  private func row(_ key: Key) -> String {
    let form = [key.form, key.required ? "required" : ""].filter { !$0.isEmpty }.joined(separator: "; ")
    return "| `\(key.key)` | \(form) | \(key.meaning) |\n"
  }
}
