/// The condition of a filter selector, for example `@.primary == true && @.address`.
///
/// Source: RFC 9535, section 2.3.5, with paths of one value below `@` and without functions.
indirect enum JSONFilter: Hashable, Sendable {
  case all([JSONFilter])
  case any([JSONFilter])
  case not(JSONFilter)
  /// The path has a value, even null.
  case exists(JSONPath)
  case compare(JSONPath, JSONComparison, JSONConstant?)

  func holds(for element: Int, in document: JSONDocument) -> Bool {
    switch self {
    case .all(let parts): parts.allSatisfy { $0.holds(for: element, in: document) }
    case .any(let parts): parts.contains { $0.holds(for: element, in: document) }
    case .not(let part): !part.holds(for: element, in: document)
    case .exists(let path): path.resolve(in: document, from: element) != nil
    case .compare(let path, let comparison, let constant):
      comparison.holds(path.resolve(in: document, from: element), constant, in: document)
    }
  }
}

/// A comparison of a filter.
enum JSONComparison: String, CaseIterable, Hashable, Sendable {
  // The longer signs first, as the reader tries them in this order.
  case equal = "=="
  case different = "!="
  case atMost = "<="
  case atLeast = ">="
  case less = "<"
  case greater = ">"

  /// - Parameter constant: nil for null.
  ///
  /// As in the RFC, values of different kinds are unequal and unordered, and an absent value equals no constant.
  func holds(_ index: Int?, _ constant: JSONConstant?, in document: JSONDocument) -> Bool {
    switch self {
    case .equal: isEqual(index, constant, in: document)
    case .different: !isEqual(index, constant, in: document)
    case .atMost: isEqual(index, constant, in: document) || precedes(index, constant, in: document, before: true)
    case .atLeast: isEqual(index, constant, in: document) || precedes(index, constant, in: document, before: false)
    case .less: precedes(index, constant, in: document, before: true)
    case .greater: precedes(index, constant, in: document, before: false)
    }
  }

  private func isEqual(_ index: Int?, _ constant: JSONConstant?, in document: JSONDocument) -> Bool {
    guard let index else { return false }
    let value = JSONValue(document: document, index: index)
    guard let constant else { return value.isNull }
    if value.kind == .number { return constant.number.map { $0 == value.double } ?? false }
    return value.kind == constant.kind && value.text == constant.text
  }

  private func precedes(_ index: Int?, _ constant: JSONConstant?, in document: JSONDocument, before: Bool) -> Bool {
    guard let index, let constant else { return false }
    let value = JSONValue(document: document, index: index)
    guard value.kind == constant.kind else { return false }
    if let number = value.double, let bound = constant.number { return before ? number < bound : number > bound }
    guard let text = value.string else { return false }
    return before ? text.precedesByBytes(constant.text) : constant.text.precedesByBytes(text)
  }
}

extension JSONConstant {
  fileprivate var kind: JSONKind? { document?.root.kind }
}
