/// One key of the mapping language.
struct MappingKey: Sendable {
  let name: String
  let form: MappingForm
  /// A sentence without a full stop.
  let meaning: String
  private(set) var isRequired = false
  /// Whether it is a step that may stand beside the path.
  private(set) var isLastStep = false
  /// For a test: how to say that a value passes it.
  private(set) var words: String?
  /// For a test of true or false: how to say the opposite.
  private(set) var oppositeWords: String?

  init(_ name: String, _ form: MappingForm, _ meaning: String) {
    self.name = name
    self.form = form
    self.meaning = meaning
  }

  static func required(_ name: String, _ form: MappingForm, _ meaning: String) -> MappingKey {
    var key = MappingKey(name, form, meaning)
    key.isRequired = true
    return key
  }

  static func lastStep(_ name: String, _ form: MappingForm, _ meaning: String) -> MappingKey {
    var key = MappingKey(name, form, meaning)
    key.isLastStep = true
    return key
  }

  static func test(_ name: String, _ form: MappingForm, _ words: String, not opposite: String? = nil) -> MappingKey {
    let argument = if case .oneOrMany = form { " these" } else { opposite == nil ? " this" : "" }
    var key = MappingKey(name, form, "passes if the value \(words)\(argument)")
    key.words = words
    key.oppositeWords = opposite
    return key
  }
}

/// A mapping with fixed keys.
struct MappingObject: Sendable {
  let name: String
  let meaning: String
  let keys: [MappingKey]
  /// Keys of which one must be given, and only one.
  let exactlyOneOf: [String]
  let isEmptyAllowed: Bool

  init(
    _ name: String, _ meaning: String, _ keys: [MappingKey], exactlyOneOf: [String] = [], isEmptyAllowed: Bool = true
  ) {
    self.name = name
    self.meaning = meaning
    self.keys = keys
    self.exactlyOneOf = exactlyOneOf
    self.isEmptyAllowed = isEmptyAllowed
  }
}

/// The form of a value.
indirect enum MappingForm: Sendable {
  case text, number, flag, null
  /// A fixed text, number, true or false.
  case constant
  /// A path that starts with `$`, `body:$` or `outer:$`, a header, or a property of the message.
  case reference
  /// One of some words.
  case keyword([String])
  /// A list of at least one element.
  case list(MappingForm)
  case oneOrMany(MappingForm)
  /// Any keys, with values of this form.
  case map(MappingForm)
  case object(MappingObject)
  case either([MappingForm])
  /// A form of `MappingLanguage.named`.
  case named(String)

  /// The form in a few words, for the reference.
  var label: String {
    switch self {
    case .text: "text"
    case .number: "number"
    case .flag: "true or false"
    case .null: "null"
    case .constant: "constant"
    case .reference: "path"
    case .keyword(let words): words.map { "`\($0)`" }.joined(separator: ", ")
    case .list(let form): "list of \(form.label)"
    case .oneOrMany(let form): "\(form.label) or a list"
    case .map(let form): "`name: \(form.label)`, …"
    case .object(let object): "[\(object.name)](#keys-of-\(object.name))"
    case .either(let forms): forms.map(\.label).joined(separator: " or ")
    case .named("condition"): "[condition](#keys-of-when)"
    case .named(let name) where MappingLanguage.objects.contains { $0.name == name }: "[\(name)](#keys-of-\(name))"
    case .named(let name): MappingLanguage.named.first { $0.name == name }?.meaning ?? name
    }
  }
}
