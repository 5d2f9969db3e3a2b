import Journey
import Yams

/// A node of a YAML file and the keys that lead to it. Its readers report a problem and return nil.
struct YAMLField {
  let node: Node
  let name: String
  let rule: String?
  let problems: YAMLDiagnosticList

  func report(_ message: String, hint: String? = nil, at mark: Mark? = nil) {
    let mark = mark ?? node.mark
    problems.add(
      YAMLDiagnostic(
        file: problems.file, line: mark?.line ?? 0, column: mark?.column ?? 0, rule: rule, field: name,
        message: message, hint: hint))
  }

  func warn(_ message: String) { problems.warn(diagnostic(message)) }
  func noteOverlap(_ message: String) { problems.noteOverlap(diagnostic(message)) }
  /// Reports what `check` refuses, although files of earlier versions with it are loaded.
  func refuse(_ message: String, hint: String? = nil) { problems.refuse(diagnostic(message, hint: hint)) }

  private func diagnostic(_ message: String, hint: String? = nil) -> YAMLDiagnostic {
    YAMLDiagnostic(
      file: problems.file, line: node.mark?.line ?? 0, column: node.mark?.column ?? 0, rule: rule, field: name,
      message: message, hint: hint)
  }

  private func child(_ node: Node, _ key: String) -> YAMLField {
    let path = key.hasPrefix("[") || name.isEmpty ? name + key : "\(name).\(key)"
    return YAMLField(node: node, name: path, rule: rule, problems: problems)
  }

  func inside(rule: String) -> YAMLField { YAMLField(node: node, name: "", rule: rule, problems: problems) }

  // MARK: Shapes

  var isMapping: Bool { node.mapping != nil }

  /// The members of a mapping whose keys are among `keys`; any other key is a problem.
  ///
  /// - Parameter deprecated: further keys, which no hint suggests.
  func members(_ keys: [String], deprecated: [String] = []) -> [String: YAMLField]? {
    guard let members = members() else { return nil }
    for (key, field) in members where !keys.contains(key.text) && !deprecated.contains(key.text) {
      let hint =
        nearest(key.text, among: keys).map { "did you mean \($0)?" } ?? "known here: \(keys.joined(separator: ", "))"
      field.report("this key is not known", hint: hint, at: key.mark)
    }
    return Dictionary(members.map { ($0.key.text, $0.field) }) { first, _ in first }
  }

  /// The members of a mapping of the language. Unknown and missing keys are problems.
  func members(_ object: MappingObject) -> [String: YAMLField]? {
    guard let members = members(object.keys.map(\.name)) else { return nil }
    for key in object.keys where key.isRequired && members[key.name] == nil {
      report("\(key.name) is missing: \(key.meaning)")
    }
    let alternatives = object.exactlyOneOf
    if !alternatives.isEmpty, alternatives.filter({ members[$0] != nil }).count != 1 {
      let last = alternatives[alternatives.count - 1]
      report("exactly one of \(alternatives.dropLast().joined(separator: ", ")) and \(last) is needed")
      return nil
    }
    return members
  }

  /// The members of a mapping with any keys, in their order.
  func members() -> [(key: (text: String, mark: Mark?), field: YAMLField)]? {
    guard let mapping = node.mapping else {
      report("key: value lines are expected here")
      return nil
    }
    return mapping.compactMap { key, value in
      guard let text = key.scalar?.string else {
        report("a key is a word", at: key.mark)
        return nil
      }
      return ((text, key.mark), child(value, text))
    }
  }

  func elements() -> [YAMLField]? {
    guard let sequence = node.sequence else {
      report("a list is expected here")
      return nil
    }
    if sequence.isEmpty {
      report("the list is empty")
      return nil
    }
    return sequence.enumerated().map { child($1, "[\($0)]") }
  }

  /// The elements of a list, or the node itself as the only one.
  func oneOrMany() -> [YAMLField]? { node.sequence == nil ? [self] : elements() }

  // MARK: Scalars

  func text() -> String? {
    guard let text = node.scalar?.string, !text.isEmpty, !isNull else {
      report("a text is expected here")
      return nil
    }
    return text
  }

  func bool() -> Bool? {
    switch node.scalar?.string {
    case "true": return true
    case "false": return false
    default:
      report("true or false is expected here")
      return nil
    }
  }

  func number() -> Double? {
    guard let text = node.scalar?.string, let number = JSONConstant(number: text) else {
      report("a number is expected here")
      return nil
    }
    return Double(number.text)
  }

  /// A fixed value. Numbers, true and false are those of JSON: `no` and `012` are texts, unlike in YAML 1.1.
  func constant() -> JSONConstant? {
    guard let scalar = node.scalar, !isNull else {
      report("a fixed text, number, true or false is expected here")
      return nil
    }
    guard scalar.style == .plain || scalar.style == .any else { return JSONConstant(string: scalar.string) }
    if scalar.string == "true" || scalar.string == "false" { return JSONConstant(bool: scalar.string == "true") }
    return JSONConstant(number: scalar.string) ?? JSONConstant(string: scalar.string)
  }

  func constants() -> [JSONConstant]? {
    guard let fields = oneOrMany() else { return nil }
    let constants = fields.compactMap { $0.constant() }
    return constants.count == fields.count ? constants : nil
  }

  var isNull: Bool {
    guard let scalar = node.scalar, scalar.style == .plain || scalar.style == .any else { return false }
    return ["", "~", "null"].contains(scalar.string)
  }

  func reference() -> MappingReference? {
    guard let text = text() else { return nil }
    do {
      return try MappingReference(text)
    } catch {
      report("\(text): \(error)", hint: "paths start with $, e.g. $.data.id; fixed values are written as {value: …}")
      return nil
    }
  }
}
