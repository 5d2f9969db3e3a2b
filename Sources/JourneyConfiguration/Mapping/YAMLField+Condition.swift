import Journey
import Yams

/// A rule's `when`: the types that it matches, and what else must hold.
struct MappingMatch {
  var types: [TypePattern] = []
  var condition: MappingCondition?
}

extension YAMLField {
  func match() -> MappingMatch? {
    guard isMapping else {
      report("a rule's when is a mapping", hint: "for example when: {type: invoice.paid}")
      return nil
    }
    var match = MappingMatch()
    guard let members = members(MappingLanguage.when) else { return nil }
    if let type = members["type"] {
      guard let fields = type.oneOrMany() else { return nil }
      match.types = fields.compactMap { $0.typePattern() }
      if match.types.count != fields.count { return nil }
    }
    if members.keys.contains(where: { $0 != "type" }) {
      guard let condition = condition(members) else { return nil }
      match.condition = condition
    }
    return match
  }

  private func typePattern() -> TypePattern? {
    guard let text = text() else { return nil }
    if text.dropLast().contains("*") {
      report("\(text): the star can only stand at the end of a type")
      return nil
    }
    return TypePattern(text)
  }

  func condition() -> MappingCondition? {
    guard let members = members(MappingLanguage.condition) else { return nil }
    return condition(members)
  }

  /// All keys of one mapping must hold.
  private func condition(_ members: [String: YAMLField]) -> MappingCondition? {
    var parts: [MappingCondition] = []
    for (key, wrap) in [("all", MappingCondition.all), ("any", MappingCondition.any)] {
      guard let field = members[key] else { continue }
      guard let fields = field.elements() else { return nil }
      let inner = fields.compactMap { $0.condition() }
      guard inner.count == fields.count else { return nil }
      parts.append(wrap(inner))
    }
    if let field = members["not"] {
      guard let inner = field.condition() else { return nil }
      parts.append(.not(inner))
    }
    if let field = members["changed"] {
      guard let change = field.change() else { return nil }
      parts.append(change)
    }
    let tests = MappingLanguage.tests.map(\.name)
    let used = tests.filter { members[$0] != nil }
    if let path = members["path"] {
      guard let subject = path.subject() else { return nil }
      if used.isEmpty {
        path.report("no test for this path", hint: "tests: \(tests.joined(separator: ", "))")
        return nil
      }
      for name in used {
        guard let field = members[name], let part = field.test(name, of: subject) else { return nil }
        parts.append(part)
      }
    } else if let name = used.first {
      members[name]?.report("\(name) tests the value of a path, and there is no path beside it")
      return nil
    }
    guard !parts.isEmpty else {
      report("the condition is empty")
      return nil
    }
    return parts.count == 1 ? parts[0] : .all(parts)
  }

  /// What a condition tests: one value, all values that a path with `[*]` names, or the value of an expression.
  private func subject() -> Subject? {
    if let text = node.scalar?.string, MappingPaths.isMany(text) {
      do {
        return .many(try MappingPaths(text))
      } catch {
        report("\(text): \(error)")
        return nil
      }
    }
    guard let expression = expression() else { return nil }
    if case .reference(let reference) = expression { return .one(reference) }
    return .computed(expression)
  }

  private func test(_ name: String, of subject: Subject) -> MappingCondition? {
    switch name {
    case "present":
      guard case .one(let reference) = subject else {
        report("present asks for one place in the body", hint: "use exists")
        return nil
      }
      return bool().map { $0 ? .present(reference) : .not(.present(reference)) }
    case "same-as", "earlier-than", "later-than", "gt", "gte", "lt", "lte":
      // A bound is a number, or the path of one.
      guard let relation = MappingLanguage.relations[name], name.contains("-") || isPath else {
        return test(name).map { subject.condition($0) }
      }
      guard let expression = subject.expression else {
        report("\(name) compares two places, and the path names many")
        return nil
      }
      return self.expression().map { .relation(expression, relation, $0) }
    default: return test(name).map { subject.condition($0) }
    }
  }

  private var isPath: Bool { node.scalar?.string.contains { "$:".contains($0) } ?? isMapping }

  private func test(_ name: String) -> MappingTest? {
    switch name {
    case "exists": bool().map { $0 ? .exists : .missing }
    case "missing": bool().map { $0 ? .missing : .exists }
    case "equals": constant().map { .isOneOf([$0]) }
    case "in": constants().map { .isOneOf($0) }
    case "gt": number().map { .greater(than: $0) }
    case "gte": number().map { .atLeast($0) }
    case "lt": number().map { .less(than: $0) }
    case "lte": number().map { .atMost($0) }
    case "starts-with": text().map { .hasPrefix($0) }
    case "matches": pattern().map { .matches($0) }
    case "ends-with": text().map { .hasSuffix($0) }
    default: text().map { .contains($0) }
    }
  }

  private func change() -> MappingCondition? {
    guard let members = members(MappingLanguage.changed), let before = members["before"], let now = members["now"]
    else { return nil }
    guard let old = before.reference(), let new = now.reference() else { return nil }
    return .changed(before: old, now: new, from: members["from"]?.constants(), to: members["to"]?.constants())
  }
}

/// What a condition tests.
private enum Subject {
  case one(MappingReference)
  case many(MappingPaths)
  case computed(MappingExpression)

  var expression: MappingExpression? {
    switch self {
    case .one(let reference): .reference(reference)
    case .computed(let expression): expression
    case .many: nil
    }
  }

  func condition(_ test: MappingTest) -> MappingCondition {
    switch self {
    case .one(let reference): .test(reference, test)
    case .computed(let expression): .computed(expression, test)
    // A value is missing only if no path has one.
    case .many(let paths): test == .missing ? .not(.some(paths, .exists)) : .some(paths, test)
    }
  }
}
