/// What holds for every rule of a mapping.
public struct MappingEnvelope: Hashable, Sendable {
  /// Where the events of a body stand: paths with `[*]` where it holds many, or of the one event where something is
  /// wrapped around it. The first that names any counts, since some vendors send several forms of body.
  public var splits: [JSONPath]
  /// Why a body without any event is nothing to tell of; nil: it is a rejection.
  public var emptyReason: String?
  /// The events' source, where the body names it; else the mapping's own name is the source.
  public var source: MappingExpression?
  /// The vendor's type of an element, by which rules are found.
  public var type: MappingExpression
  /// Where the organization's UUID stands; tried in order.
  public var organization: [MappingExpression]
  /// Where the vendor's own id of the organization's account stands, for the table of tenants; tried after
  /// `organization`.
  public var tenant: [MappingExpression]

  public init(
    splits: [JSONPath] = [], emptyReason: String? = nil, source: MappingExpression? = nil, type: MappingExpression,
    organization: [MappingExpression], tenant: [MappingExpression] = []
  ) {
    self.splits = splits
    self.emptyReason = emptyReason
    self.source = source
    self.type = type
    self.organization = organization
    self.tenant = tenant
  }

  var splitText: String { splits.isEmpty ? "$" : splits.map(\.description).joined(separator: " or ") }

  /// The nodes of the elements of a body, each with the node around it. A body that the mapping would split, and that
  /// is a single object, is its own only element: some relays send a list of one as the one.
  func elements(of document: JSONDocument) -> [MappingElement] {
    if splits.isEmpty { return [MappingElement(node: 0)] }
    for split in splits {
      if split.steps.first == .every, document.nodes[0].kind == .object { return [MappingElement(node: 0)] }
      let found = elements(of: document, at: split)
      if !found.isEmpty { return found }
    }
    return []
  }

  private func elements(of document: JSONDocument, at split: JSONPath) -> [MappingElement] {
    guard let (around, rest) = split.outermostList else {
      return split.resolveAll(in: document, from: 0).map { MappingElement(node: $0) }
    }
    return around.resolveAll(in: document, from: 0).flatMap { outer in
      rest.resolveAll(in: document, from: outer).map { MappingElement(node: $0, outer: outer) }
    }
  }
}

/// One event of a body, by its node, and the element of the outer list that it stands in.
struct MappingElement {
  var node: Int
  var outer = 0
}

/// The rules that can take a type, found by one look-up, since a vendor's mapping has dozens of rules.
struct RuleCandidates: Sendable {
  private let byType: [String: [Int]]
  /// For types that no rule names: the rules that take any type, or types by their beginning.
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

  /// - Returns: the rules to be tried, in their order, and whether all of them take the type.
  func indices(for type: String?) -> (indices: [Int], takeType: Bool) {
    if let type, let found = byType[type] { return (found, true) }
    return (open, false)
  }
}
