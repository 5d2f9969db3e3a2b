/// The settings that all rules of a mapping share.
public struct MappingEnvelope: Hashable, Sendable {
  /// Where the event is in a body that wraps it; the first path with a value counts, then the body itself.
  public var roots: [JSONPath]
  /// The paths of the events below the root, with `[*]`. The first path with a value is used, since some vendors send
  /// several formats.
  public var splits: [JSONPath]
  /// Why a body without events is ignored; nil: it is rejected.
  public var emptyReason: String?
  /// The events' source in the body; nil: the mapping's name.
  public var source: MappingExpression?
  /// The vendor's event type, which selects the rules.
  public var type: MappingExpression
  /// The organisation's UUID; tried in order.
  public var organization: [MappingExpression]
  /// The vendor's account id for the tenants table; tried in order after `organization`.
  public var tenant: [MappingExpression]
  /// Holds for what the vendor marks as a test.
  public var testTraffic: MappingCondition?

  public init(
    roots: [JSONPath] = [], splits: [JSONPath] = [], emptyReason: String? = nil, source: MappingExpression? = nil,
    type: MappingExpression, organization: [MappingExpression], tenant: [MappingExpression] = [],
    testTraffic: MappingCondition? = nil
  ) {
    self.roots = roots
    self.splits = splits
    self.emptyReason = emptyReason
    self.source = source
    self.type = type
    self.organization = organization
    self.tenant = tenant
    self.testTraffic = testTraffic
  }

  var splitText: String { splits.isEmpty ? "$" : splits.map(\.description).joined(separator: " or ") }

  /// The elements of a body. A single object that should be a list counts as a list of one, because some relays unwrap
  /// such lists.
  func elements(of document: JSONDocument) -> [MappingElement] {
    let root = roots.lazy.compactMap { $0.resolve(in: document, from: 0) }.first ?? 0
    if splits.isEmpty { return [MappingElement(node: root)] }
    for split in splits {
      if split.steps.first == .every, document.nodes[root].kind == .object {
        return [MappingElement(node: root, outer: root)]
      }
      let found = elements(of: document, below: root, at: split)
      if !found.isEmpty { return found }
    }
    return []
  }

  private func elements(of document: JSONDocument, below root: Int, at split: JSONPath) -> [MappingElement] {
    guard let (around, rest) = split.outermostList else {
      return split.resolveAll(in: document, from: root).map { MappingElement(node: $0, outer: root) }
    }
    return around.resolveAll(in: document, from: root).flatMap { outer in
      rest.resolveAll(in: document, from: outer).map { MappingElement(node: $0, outer: outer) }
    }
  }
}

/// One event of a body, with its element of the outer list.
struct MappingElement {
  var node: Int
  var outer = 0
}

/// Finds the candidate rules of a type with one lookup, since a mapping may have dozens of rules.
struct RuleCandidates: Sendable {
  private let byType: [String: [Int]]
  /// For types that no rule names: the rules for any type or for a prefix.
  private let open: [Int]

  init(_ rules: [MappingRule]) {
    var named: Set<String> = []
    for rule in rules {
      for case .exactly(let type) in rule.types { named.insert(type) }
    }
    byType = Dictionary(
      uniqueKeysWithValues: named.map { type in (type, rules.indices.filter { rules[$0].takes(type: type) }) })
    open = rules.indices.filter { index in
      rules[index].types.isEmpty || rules[index].types.contains { if case .prefix = $0 { true } else { false } }
    }
  }

  /// - Returns: the rules to try, in order, and whether all of them accept the type.
  func indices(for type: String?) -> (indices: [Int], takeType: Bool) {
    if let type, let found = byType[type] { return (found, true) }
    return (open, false)
  }
}
