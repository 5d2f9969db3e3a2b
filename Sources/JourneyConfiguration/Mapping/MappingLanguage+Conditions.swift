import Journey

/// The keys of conditions and steps.
extension MappingLanguage {
  /// The tests of a path's value, with the words for them: `$.amount` is more than 5.
  static let tests: [MappingKey] = [
    .test("equals", .constant, "is"),
    .test("in", constants, "is one of"),
    .test("exists", .flag, "is present", not: "is missing"),
    .test("missing", .flag, "is missing", not: "is present"),
    .test("present", .flag, "is present (or null)", not: "is missing"),
    .test("gt", bound, "is more than"),
    .test("gte", bound, "is at least"),
    .test("lt", bound, "is less than"),
    .test("lte", bound, "is at most"),
    .test("starts-with", .text, "starts with"),
    .test("ends-with", .text, "ends with"),
    .test("contains", .text, "contains"),
    .test("matches", .text, "matches"),
    .test("same-as", .reference, "is the same as"),
    .test("earlier-than", .reference, "is a time earlier than"),
    .test("later-than", .reference, "is a time later than"),
  ]

  /// A number, or the path of one.
  private static let bound = MappingForm.either([.number, .reference])

  /// The tests that compare with another value of the message.
  static let relations: [String: MappingRelation] = [
    "same-as": .same, "earlier-than": .earlier, "later-than": .later, "gt": .greater, "gte": .atLeast, "lt": .less,
    "lte": .atMost,
  ]

  private static let parts =
    [
      MappingKey("path", value, "value to test, or a path with `[*]` of which one value must pass"),
      MappingKey("changed", .object(changed), "holds if a value has changed, for sources that send the old one too"),
      MappingKey("all", .list(.named("condition")), "conditions that must all hold"),
      MappingKey("any", .list(.named("condition")), "conditions of which one must hold"),
      MappingKey("not", .named("condition"), "condition that must not hold"),
    ] + tests

  static let condition = MappingObject(
    "condition", "a condition: all keys of it must hold", parts, isEmptyAllowed: false)

  static let when = MappingObject(
    "when", "what a rule matches: all keys of it must hold; a condition has the same keys except `type`",
    [MappingKey("type", .oneOrMany(.text), "one type, a list, or a prefix with a star (`invoice.*`)")] + parts,
    isEmptyAllowed: false)

  static let changed = MappingObject(
    "changed", "a change of a value",
    [
      .required("before", .reference, "path of the old value"),
      .required("now", .reference, "path of the new value"),
      MappingKey("from", constants, "the old value is one of these"),
      MappingKey("to", constants, "the new value is one of these"),
    ])

  /// Steps that need no argument.
  static let stepWords: [(name: String, step: MappingTransform, meaning: String)] = [
    ("trim", .trim, "text without white space at its ends"),
    ("lower", .lowercase, "text in lower case"),
    ("upper", .uppercase, "text in upper case"),
    ("base64", .base64, "decoded text"),
    ("number", .number, "number that a text contains, to the last digit"),
    ("words", .table(ScoreBand.words, otherwise: nil), "as `{scale: words}`"),
  ]

  static let steps: [MappingKey] = [
    MappingKey("json", .text, "value at this path in JSON that is stored as a text"),
    MappingKey(
      "match", .text,
      "first group of a regular expression's first match, or the whole match (in the first 4096 characters, and 16 KiB)"
    ),
    MappingKey(
      "minor-units", value,
      "amount in major units (`12.50`) in minor ones (`1250`), exactly; the argument is the currency or its path"),
    .lastStep("table", .map(.constant), "translation of the text"),
    MappingKey("otherwise", .constant, "what `table` gives for any other text; without it nothing"),
    .lastStep(
      "scale", .keyword(ScoreBand.scales.keys.sorted() + ["words"]),
      "`positive`, `neutral` or `negative`: `nps` 0 to 10, `csat` 1 to 5, `ces` 1 to 7, `signed` -100 to 100, `words` (good, bad, promoter, …; lower case)"
    ),
    .lastStep("bands", .map(.list(.number)), "a scale of your own: `{low: [0, 4], high: [5, 9]}`, both ends included"),
  ]

  static let stepObject = MappingObject("step", "a step with its argument", steps, isEmptyAllowed: false)
}
