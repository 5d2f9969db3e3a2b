/// A constant string, number or Boolean in a mapping.
public struct JSONConstant: Hashable, Sendable {
  /// The value as a document of its own; nil for a text with a NUL, which no JSON document here may contain.
  let document: JSONDocument?
  /// The text of a string, a number in the mapping's notation, `true` or `false`.
  public let text: String
  let number: Double?
  let utf8: [UInt8]

  /// The value as JSON.
  public var json: [UInt8] { document?.bytes ?? Self.json(of: text) }

  public init(string: String) { self.init(json: Self.json(of: string), text: string, number: nil) }

  private static func json(of text: String) -> [UInt8] {
    var writer = JSONWriter()
    writer.string(text)
    return writer.bytes
  }

  public init(bool: Bool) { self.init(json: Array("\(bool)".utf8), text: "\(bool)", number: nil) }

  /// - Returns: nil if `text` is not a JSON number.
  public init?(number text: String) {
    guard let root = try? JSONDocument(parsing: text).root, let value = root.double else { return nil }
    self.init(json: Array(text.utf8), text: text, number: value)
  }

  private init(json: [UInt8], text: String, number: Double?) {
    document = try? JSONDocument(parsing: json, limits: JSONLimits(maxBytes: .max))
    self.text = text
    self.number = number
    utf8 = Array(text.utf8)
  }

  public static func == (a: JSONConstant, b: JSONConstant) -> Bool { a.json == b.json }
  public func hash(into hasher: inout Hasher) { hasher.combine(json) }
}

/// How a mapping computes a field of an event. Null counts as absent.
public indirect enum MappingExpression: Hashable, Sendable, CustomStringConvertible {
  case constant(JSONConstant)
  case reference(MappingReference)
  /// The first value that exists.
  case first([MappingExpression])
  /// The texts of all parts, joined by the separator; absent if any part is absent.
  case join([MappingExpression], separator: String)
  /// All values of a path with `[*]`; the first one if a single value is needed.
  case each(MappingPaths)
  /// 100 times the first number divided by the second, rounded to four places; absent if a part is no number or the
  /// second is 0.
  case percent(MappingExpression, of: MappingExpression)
  /// The result of applying a step to the value.
  case then(MappingExpression, MappingTransform)

  public var description: String {
    switch self {
    case .constant(let constant): String(decoding: constant.json, as: UTF8.self)
    case .reference(let reference): reference.description
    case .first(let choices): choices.map(\.description).joined(separator: " or ")
    case .join(let parts, _): parts.map(\.description).joined(separator: " + ")
    case .each(let paths): paths.description
    case .percent(let part, let whole): "\(part) / \(whole)"
    case .then(let value, _): value.description
    }
  }

  func evaluate(in context: borrowing MappingContext) -> ResolvedValue {
    switch self {
    case .constant(let constant): return .constant(constant)
    case .reference(let reference): return context.resolve(reference)
    case .first(let choices):
      for choice in choices {
        let value = choice.evaluate(in: context)
        if !value.isNothing { return value }
      }
      return .nothing
    case .join(let parts, let separator):
      var texts: [String] = []
      for part in parts {
        guard let text = part.text(in: context), !text.isEmpty else { return .nothing }
        texts.append(text)
      }
      return .text(texts.joined(separator: separator))
    case .each: return all(in: context).first ?? .nothing
    case .percent(let part, let whole):
      let document = context.input.document
      guard let part = part.evaluate(in: context).number(in: document),
        let whole = whole.evaluate(in: context).number(in: document), whole != 0
      else { return .nothing }
      let percent = (part / whole * 1_000_000).rounded() / 10_000
      return JSONConstant(number: percent.decimalText).map(ResolvedValue.constant) ?? .nothing
    case .then(let value, let step):
      let found = value.evaluate(in: context)
      // Only a table has a result for an absent value.
      if case .nothing = found, case .table = step {} else if found.isNothing { return .nothing }
      return step.apply(to: found, in: context)
    }
  }

  /// All values of the expression: more than one only if its path has a `[*]`.
  func all(in context: borrowing MappingContext) -> [ResolvedValue] {
    if case .each(let paths) = self { return paths.nodes(in: context).map(ResolvedValue.node) }
    if case .join(let parts, let separator) = self,
      parts.contains(where: { if case .each = $0 { true } else { false } })
    {
      return joined(parts, separator, in: context)
    }
    let value = evaluate(in: context)
    return value.isNothing ? [] : [value]
  }

  /// A text for each combination of the values of the parts.
  private func joined(_ parts: [MappingExpression], _ separator: String, in context: borrowing MappingContext)
    -> [ResolvedValue]
  {
    var texts = [""]
    for (position, part) in parts.enumerated() {
      var found: [String] = []
      for value in part.all(in: context) {
        if let text = value.text(in: context.input.document), !text.isEmpty { found.append(text) }
      }
      texts = texts.flatMap { start in found.map { position == 0 ? $0 : start + separator + $0 } }
    }
    return texts.map(ResolvedValue.text)
  }

  /// Whether a member of the element is read.
  var readsMembers: Bool {
    switch self {
    case .constant: false
    case .reference(.path(let path)): !path.steps.isEmpty
    case .reference: false
    case .first(let parts), .join(let parts, _): parts.contains(where: \.readsMembers)
    case .each(let paths): paths.scope == .element
    case .percent(let part, let whole): part.readsMembers || whole.readsMembers
    case .then(let value, _): value.readsMembers
    }
  }

  func text(in context: borrowing MappingContext) -> String? { evaluate(in: context).text(in: context.input.document) }

  /// The value before any step, for rejections.
  func rawText(in context: borrowing MappingContext) -> String? {
    switch self {
    case .then(let value, _): value.rawText(in: context)
    case .first(let choices): choices.lazy.compactMap { [context = copy context] in $0.rawText(in: context) }.first
    case .constant, .reference, .join, .each, .percent: text(in: context)
    }
  }
}

/// A range of a scale with one meaning.
public struct ScoreBand: Hashable, Sendable {
  public var range: ClosedRange<Double>
  public var label: JSONConstant

  public init(range: ClosedRange<Double>, label: JSONConstant) {
    self.range = range
    self.label = label
  }

  /// The named scales, each mapped to positive, neutral or negative. Values outside a scale have no meaning: some
  /// vendors send 0 for "no score".
  ///
  /// - `nps`: 0 to 10; 9 and 10 promote, 0 to 6 detract (Bain's Net Promoter Score).
  /// - `csat`: 1 to 5; 4 and 5 are satisfied, 1 and 2 are not.
  /// - `ces`: 1 to 7; 5 and above is easy, up to 3 is not (Customer Effort Score, the agreement form).
  /// - `signed`: -100 to 100; -20 to 20 is neutral.
  public static let scales: [String: [ScoreBand]] = [
    "nps": sentiment(negative: 0...6, neutral: 6...8, positive: 8...10),
    "csat": sentiment(negative: 1...2, neutral: 2...3, positive: 3...5),
    "ces": sentiment(negative: 1...3, neutral: 3...4, positive: 4...7),
    "signed": sentiment(negative: -100...(-20), neutral: -20...20, positive: 20...100),
  ]

  /// Vendors' words for good and bad answers, in lower case: the scale `words`.
  public static let words: [String: JSONConstant] = {
    let groups = [
      "positive": [
        "positive", "good", "great", "excellent", "amazing", "awesome", "happy", "very happy", "extremely happy",
        "satisfied",
        "very satisfied", "promoter", "promoters", "thumbs_up", "thumbs up", "good_with_comment", "love", "easy",
        "true", "yes", "like",
      ],
      "neutral": ["neutral", "ok", "okay", "passive", "passives", "average", "fair", "indifferent", "mixed"],
      "negative": [
        "negative", "bad", "terrible", "awful", "poor", "unhappy", "very unhappy", "extremely unhappy", "unsatisfied",
        "dissatisfied",
        "very dissatisfied", "detractor", "detractors", "thumbs_down", "thumbs down", "bad_with_comment", "hate",
        "difficult", "false", "no",
        "dislike",
      ],
    ]
    return Dictionary(
      uniqueKeysWithValues: groups.flatMap { mood, words in words.map { ($0, JSONConstant(string: mood)) } })
  }()

  /// Bands are tried in this order: a fraction between two whole scores belongs to the upper band.
  private static func sentiment(
    negative: ClosedRange<Double>, neutral: ClosedRange<Double>, positive: ClosedRange<Double>
  ) -> [ScoreBand] {
    [
      ScoreBand(range: negative, label: JSONConstant(string: "negative")),
      ScoreBand(range: neutral, label: JSONConstant(string: "neutral")),
      ScoreBand(range: positive, label: JSONConstant(string: "positive")),
    ]
  }
}
