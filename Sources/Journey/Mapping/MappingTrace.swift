/// Explains what a mapping did with a body, for authors of mappings. It contains values of the body, so it must not be
/// logged.
public struct MappingTrace: Sendable, Encodable {
  public var source: String
  public var elements: [Element]

  public struct Element: Sendable {
    /// The position of the element, from 0.
    public var position: Int
    /// The vendor's type; nil if there is none.
    public var type: String?
    /// The rules in order, up to the first match.
    public var rules: [RuleTrace]
    /// The fields that the rule reads, in order; empty if it makes no event.
    public var fields: [FieldTrace]
    public var outcome: MappingOutcome
  }

  public struct RuleTrace: Hashable, Sendable {
    public var name: String
    /// Why the rule did not match; nil for a match.
    public var refusal: String?
    public var isMatch: Bool { refusal == nil }
  }

  public struct FieldTrace: Hashable, Sendable, Encodable {
    public var name: String
    /// The paths that were tried.
    public var path: String
    /// The value, shortened to 200 characters; nil if absent.
    public var value: String?
  }
}

extension Mapping {
  /// Like `map`, with a trace of every rule and field.
  public func trace(_ input: MappingInput) -> MappingTrace {
    let elements = envelope.elements(of: input.document)
    let outcomes = map(input).outcomes
    let traced = zip(outcomes.indices, outcomes).map { position, outcome in
      // A body that is rejected as a whole has a single outcome and no element traces.
      guard outcomes.count == elements.count else {
        return MappingTrace.Element(position: position, rules: [], fields: [], outcome: outcome)
      }
      return trace(
        MappingContext(input: input, element: elements[position].node, outer: elements[position].outer),
        position: position, outcome: outcome)
    }
    return MappingTrace(source: source, elements: traced)
  }

  private func trace(_ context: borrowing MappingContext, position: Int, outcome: MappingOutcome)
    -> MappingTrace.Element
  {
    let type = envelope.type.text(in: context)
    var tried: [MappingTrace.RuleTrace] = []
    var fields: [MappingTrace.FieldTrace] = []
    for rule in rules {
      let refusal = rule.refusal(of: type, in: context)
      tried.append(MappingTrace.RuleTrace(name: rule.name, refusal: refusal))
      if refusal != nil { continue }
      if case .event(let template) = rule.outcome { fields = fieldTraces(template, in: context) }
      break
    }
    return MappingTrace.Element(
      position: position, type: type?.shortened(to: 200), rules: tried, fields: fields, outcome: outcome)
  }

  private func fieldTraces(_ template: EventTemplate, in context: borrowing MappingContext) -> [MappingTrace.FieldTrace]
  {
    var fields: [MappingTrace.FieldTrace] = []
    func add(_ name: String, _ expression: MappingExpression?, _ context: borrowing MappingContext) {
      guard let expression else { return }
      let value = expression.evaluate(in: context)
      var writer = JSONWriter()
      value.write(to: &writer, from: context.input.document)
      let text = value.text(in: context.input.document) ?? String(decoding: writer.bytes, as: UTF8.self)
      let shown = text.shortened(to: 200)
      fields.append(
        MappingTrace.FieldTrace(name: name, path: expression.description, value: value.isNothing ? nil : shown))
    }
    let messageID = MappingExpression.reference(.property(.messageID))
    let timestamp = MappingExpression.reference(.property(.timestamp))
    add("org", .first(envelope.organization + envelope.tenant), context)
    add("source", envelope.source ?? .constant(JSONConstant(string: source)), context)
    add("id", .first(template.id + [messageID]), context)
    add("type", template.type, context)
    if case .named(let expression) = template.stage { add("stage", expression, context) }
    if case .set(let stage) = template.stage { add("stage", .constant(JSONConstant(string: stage.rawValue)), context) }
    add("time", .first(template.time.map(\.expression) + [timestamp]), context)
    add("client", .first(template.client.references), context)
    add("group", template.group, context)
    add("client.email", template.client.email, context)
    for (number, id) in template.linked.enumerated() { add("link[\(number)]", id, context) }
    for (number, id) in template.merged.enumerated() { add("merge[\(number)]", id, context) }
    add("create.name", template.creation?.name, context)
    add("create.email", template.creation?.email, context)
    add("create.phone", template.creation?.phone, context)
    if let base = template.metadata.base { add("metadata", base, context) }
    for field in template.metadata.fields { add("metadata.\(field.name)", field.value, context) }
    return fields
  }
}

extension MappingRule {
  fileprivate func refusal(of type: String?, in context: borrowing MappingContext) -> String? {
    if !takes(type: type) {
      let wanted = types.map(\.description).joined(separator: ", ")
      return "type is \((type ?? "missing").shortened(to: 200)), not \(wanted)"
    }
    return condition?.refusal(in: context)
  }
}

extension TypePattern: CustomStringConvertible {
  /// The notation of mappings.
  public var description: String {
    switch self {
    case .exactly(let text): text
    case .prefix(let text): "\(text)*"
    }
  }
}

extension MappingCondition {
  /// Why the condition does not hold; nil if it does.
  fileprivate func refusal(in context: borrowing MappingContext) -> String? {
    if holds(in: context) { return nil }
    switch self {
    case .all(let parts):
      for part in parts {
        if let refusal = part.refusal(in: context) { return refusal }
      }
      return nil
    case .any(let parts):
      var refusals: [String] = []
      for part in parts { refusals.append(part.refusal(in: context) ?? "") }
      return "none of: " + refusals.joined(separator: "; ")
    case .not: return "the negated condition holds"
    case .test(let reference, let test):
      return refusal(of: context.resolve(reference), at: reference.description, test, context)
    case .computed(let expression, let test):
      return refusal(of: expression.evaluate(in: context), at: expression.description, test, context)
    case .some(let paths, let test): return "\(paths) has no value that is \(test)"
    case .relation(let value, let relation, let other):
      let shown = [value, other].map { ($0.text(in: context) ?? "missing").shortened(to: 200) }
      return "\(value) is \(shown[0]), not \(relation.rawValue) \(other), which is \(shown[1])"
    case .present(let reference): return "\(reference) is not in the body"
    case .changed(let before, let now, let from, let to):
      let old = context.resolve(before).text(in: context.input.document) ?? "missing"
      let new = context.resolve(now).text(in: context.input.document) ?? "missing"
      let wanted = [from.map { "from \($0.list)" }, to.map { "to \($0.list)" }].compactMap(\.self).joined(
        separator: " ")
      return "\(before) is \(old.shortened(to: 200)) and \(now) is \(new.shortened(to: 200)): no change \(wanted)"
    }
  }
}

extension MappingCondition {
  private func refusal(
    of value: ResolvedValue, at path: String, _ test: MappingTest, _ context: borrowing MappingContext
  ) -> String {
    let shown = value.isNothing ? "missing" : value.text(in: context.input.document) ?? "an object or a list"
    return "\(path) is \(shown.shortened(to: 200)), not \(test)"
  }
}

extension MappingTest: CustomStringConvertible {
  public var description: String {
    switch self {
    case .exists: "there"
    case .missing: "missing"
    case .isOneOf(let constants): constants.count == 1 ? constants.list : "one of \(constants.list)"
    case .greater(let bound): "greater than \(bound)"
    case .atLeast(let bound): "at least \(bound)"
    case .less(let bound): "less than \(bound)"
    case .atMost(let bound): "at most \(bound)"
    case .hasPrefix(let part): "starting with \(part)"
    case .hasSuffix(let part): "ending with \(part)"
    case .contains(let part): "containing \(part)"
    case .matches(let pattern): "matching \(pattern)"
    }
  }
}

extension [JSONConstant] {
  fileprivate var list: String { map(\.text).joined(separator: ", ") }
}
