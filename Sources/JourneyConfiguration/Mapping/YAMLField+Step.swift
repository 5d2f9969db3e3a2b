import Journey
import Yams

/// The steps of an expression's `then`.
extension YAMLField {
  private static var known: String {
    let steps = MappingLanguage.steps.map(\.name).filter { $0 != "otherwise" }
    return (MappingLanguage.stepWords.map(\.name) + steps.map { "{\($0): …}" }).joined(separator: ", ")
  }

  /// A word, or a mapping with one name and its argument; `otherwise` goes with `table`.
  func step() -> MappingTransform? {
    if let keyword = node.scalar?.string {
      if let word = MappingLanguage.stepWords.first(where: { $0.name == keyword }) { return word.step }
      report("the step \(keyword) is not known", hint: "known: \(Self.known)")
      return nil
    }
    guard let members = members(MappingLanguage.stepObject) else { return nil }
    let names = members.keys.filter { $0 != "otherwise" }
    guard names.count == 1, let name = names.first, let argument = members[name] else {
      report("a step is a word, or one name with its argument", hint: "known: \(Self.known)")
      return nil
    }
    if name != "table" { members["otherwise"]?.report("otherwise belongs to table") }
    return argument.step(name, otherwise: members["otherwise"])
  }

  /// The step of this name; the field is its argument.
  func step(_ name: String, otherwise: YAMLField?) -> MappingTransform? {
    switch name {
    case "json": jsonPath().map { .json($0) }
    case "match": pattern().map { .match($0) }
    case "minor-units": currency().map { .minorUnits(currency: $0) }
    case "scale": scale()
    case "bands": scoreBands().map { .bands($0) }
    default: table(otherwise: otherwise)
    }
  }

  func pattern() -> TextPattern? {
    guard let text = text() else { return nil }
    do {
      return try TextPattern(text)
    } catch {
      report("\(text) is not a regular expression: \(error)")
      return nil
    }
  }

  /// A path to one value.
  func jsonPath() -> JSONPath? {
    guard let text = text() else { return nil }
    do {
      let path = try JSONPath(text)
      if !path.isWildcard { return path }
      report("\(text) names many values; one is needed here")
    } catch {
      report("\(text): \(error)")
    }
    return nil
  }

  /// The path of the currency, or its code.
  private func currency() -> MappingExpression? {
    guard let text = node.scalar?.string, !text.hasPrefix("$"), !text.contains(":") else { return expression() }
    guard text.utf8.count == 3, text.utf8.allSatisfy({ (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }) else {
      report("\(text) is not a currency", hint: "a code of ISO 4217 such as EUR, or its path")
      return nil
    }
    return .constant(JSONConstant(string: text))
  }

  private func scale() -> MappingTransform? {
    guard let name = text() else { return nil }
    if name == "words" { return .table(ScoreBand.words, otherwise: nil) }
    if let bands = ScoreBand.scales[name] { return .bands(bands) }
    let known = (ScoreBand.scales.keys + ["words"]).sorted().joined(separator: ", ")
    report("the scale \(name) is not known", hint: "known: \(known); or write bands")
    return nil
  }

  private func table(otherwise: YAMLField?) -> MappingTransform? {
    guard let entries = members() else { return nil }
    var constants: [String: JSONConstant] = [:]
    for (key, field) in entries {
      guard let constant = field.constant() else { return nil }
      constants[key.text] = constant
    }
    guard let otherwise else { return .table(constants, otherwise: nil) }
    return otherwise.constant().map { .table(constants, otherwise: $0) }
  }
}
