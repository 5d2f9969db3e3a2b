/// Static checks of rules: whether a rule can match at all, and whether two rules overlap.
extension MappingRule {
  /// Why no element can match the rule; nil if one may.
  public var contradiction: String? {
    let parts = condition?.parts ?? []
    for (position, part) in parts.enumerated() {
      for other in parts[..<position] where part.excludes(other) {
        return "\(other.summary) and \(part.summary) never hold together"
      }
    }
    return nil
  }

  /// A type that this rule, placed before `other`, takes away from it by a prefix or as a rule for any type, although
  /// `other` says more about it; nil if there is none.
  public func hiding(_ other: MappingRule) -> String? {
    guard condition == nil, !covers(other) else { return nil }
    let prefixes = types.filter { if case .prefix = $0 { true } else { false } }
    if other.types.isEmpty { return other.condition == nil ? nil : prefixes.first?.description }
    return other.types.first { theirs in prefixes.contains { $0.covers(theirs) } }?.description
  }

  /// Whether the rule makes an event from what a body says now, although its type reports every edit of the thing.
  public var readsStateOfUpdate: Bool {
    guard case .event(let template) = outcome, statesReason == nil, !types.isEmpty else { return false }
    // That something was edited is no state.
    if condition == nil, case .constant(let type) = template.type, Self.tellsOfEdits(type.text) { return false }
    return types.contains { Self.tellsOfEdits($0.description) } && !(condition?.testsChange ?? false)
  }

  private static func tellsOfEdits(_ type: String) -> Bool {
    type.lowercased().split { !$0.isLetter }.contains {
      ["updated", "update", "changed", "change", "edited", "edit", "modified", "upd"].contains($0)
    }
  }

  /// Whether both rules have conditions and some element may match both. A rule without a condition after others is the
  /// usual catch-all.
  public func mayOverlap(_ other: MappingRule) -> Bool {
    guard let condition, let theirs = other.condition else { return false }
    guard
      types.isEmpty || other.types.isEmpty
        || types.contains(where: { mine in other.types.contains { mine.covers($0) || $0.covers(mine) } })
    else { return false }
    return !condition.excludes(theirs)
  }
}

extension MappingCondition {
  /// The conditions that must all hold.
  var parts: [MappingCondition] { if case .all(let parts) = self { parts.flatMap(\.parts) } else { [self] } }

  /// Whether the condition looks at what was there before, or at a list of what changed.
  var testsChange: Bool {
    switch self {
    case .all(let parts): parts.contains(where: \.testsChange)
    case .any(let choices): choices.allSatisfy(\.testsChange)
    case .not: false
    case .changed: true
    case .test(let reference, _), .present(let reference): Self.namesChange("\(reference)")
    case .computed(let expression, _): Self.namesChange("\(expression)")
    case .some(let paths, _): Self.namesChange("\(paths)")
    case .relation(let value, _, let other): Self.namesChange("\(value)") || Self.namesChange("\(other)")
    }
  }

  private static func namesChange(_ path: String) -> Bool {
    let path = path.lowercased()
    return ["previous", "changed", "changes", "changelog", "updatedfrom", "before", "old", "propertyname", "from"]
      .contains { path.contains($0) }
  }

  /// Whether the two conditions are known to exclude each other.
  func excludes(_ other: MappingCondition) -> Bool {
    switch (self, other) {
    case (.all(let parts), _): parts.contains { $0.excludes(other) }
    case (_, .all(let parts)): parts.contains { excludes($0) }
    case (.any(let choices), _): choices.allSatisfy { $0.excludes(other) }
    case (_, .any(let choices)): choices.allSatisfy { excludes($0) }
    case (.not(let mine), _) where mine == other: true
    case (_, .not(let theirs)) where theirs == self: true
    case (.test(let path, let test), .test(let theirs, let other)): path == theirs && test.excludes(other)
    case (.computed(let path, let test), .computed(let theirs, let other)): path == theirs && test.excludes(other)
    case (.changed(_, let now, _, let to?), .test(let path, let test)),
      (.test(let path, let test), .changed(_, let now, _, let to?)):
      now == path && MappingTest.isOneOf(to).excludes(test)
    case (
      .changed(let before, let now, let from, let to),
      .changed(let theirBefore, let theirNow, let theirFrom, let theirTo)
    ):
      before == theirBefore && now == theirNow && (Self.disjoint(from, theirFrom) || Self.disjoint(to, theirTo))
    default: false
    }
  }

  private static func disjoint(_ a: [JSONConstant]?, _ b: [JSONConstant]?) -> Bool {
    guard let a, let b else { return false }
    return MappingTest.isOneOf(a).excludes(.isOneOf(b))
  }

  fileprivate var summary: String {
    switch self {
    case .test(let path, let test): "\(path) \(test)"
    case .computed(let path, let test): "\(path) \(test)"
    case .some(let paths, let test): "\(paths) \(test)"
    case .relation(let value, let relation, let other): "\(value) \(relation.rawValue) \(other)"
    case .present(let path): "\(path) there"
    case .changed(let before, let now, _, _): "a change from \(before) to \(now)"
    case .not(let part): "not (\(part.summary))"
    case .all, .any: "a group of conditions"
    }
  }
}

extension MappingTest {
  fileprivate func excludes(_ other: MappingTest) -> Bool {
    switch (self, other) {
    case (.missing, .missing): false
    case (.missing, _), (_, .missing): true
    case (.isOneOf(let mine), .isOneOf(let theirs)): Set(mine.map(\.text)).isDisjoint(with: theirs.map(\.text))
    case (.isOneOf(let constants), let test), (let test, .isOneOf(let constants)):
      constants.allSatisfy { test.excludes($0) }
    default:
      range.map { mine in
        other.range.map { mine.upperBound < $0.lowerBound || $0.upperBound < mine.lowerBound } ?? false
      } ?? false
    }
  }

  private func excludes(_ constant: JSONConstant) -> Bool {
    switch self {
    case .hasPrefix(let part): !constant.text.hasPrefix(part)
    case .hasSuffix(let part): !constant.text.hasSuffix(part)
    case .matches(let pattern): !pattern.matches(constant.text)
    default: range.map { range in constant.number.map { !range.contains($0) } ?? true } ?? false
    }
  }

  /// The numbers that pass. Treats a strict bound as inclusive, which is safe here.
  private var range: ClosedRange<Double>? {
    switch self {
    case .greater(let bound), .atLeast(let bound): bound...Double.infinity
    case .less(let bound), .atMost(let bound): -Double.infinity...bound
    default: nil
    }
  }
}
