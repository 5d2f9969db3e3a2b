import Journey
import Yams

extension YAMLField {
  /// An expression: a reference, a list of expressions of which the first that is present counts, or a mapping. The
  /// steps `table`, `scale` and `bands` may also stand beside the path.
  ///
  /// - Parameter takesMany: whether the path, or a part of a join, may have a `[*]`.
  func expression(takesMany: Bool = false) -> MappingExpression? {
    if takesMany, let text = node.scalar?.string, MappingPaths.isMany(text) {
      do {
        return .each(try MappingPaths(text))
      } catch {
        report("\(text): \(error)")
        return nil
      }
    }
    if node.sequence != nil { return choices().map { $0.count == 1 ? $0[0] : .first($0) } }
    guard isMapping else { return reference().map(MappingExpression.reference) }
    guard let members = members(MappingLanguage.valueObject) else { return nil }
    if members["with"] != nil, members["join"] == nil { members["with"]?.report("with belongs to join") }
    let steps = MappingLanguage.steps.filter { $0.isLastStep && members[$0.name] != nil }.map(\.name)
    if steps.count > 1 {
      report(
        "only one of table, scale and bands can be used",
        hint: "more steps are written as a list: then: [trim, {table: {…}}]")
      return nil
    }
    guard var expression = origin(members, takesMany: takesMany) else { return nil }
    if let chain = members["then"] {
      guard let fields = chain.elements() else { return nil }
      for field in fields {
        guard let step = field.step() else { return nil }
        expression = .then(expression, step)
      }
    }
    if members["otherwise"] != nil, members["table"] == nil {
      members["otherwise"]?.report("otherwise belongs to table")
    }
    guard let name = steps.first, let argument = members[name] else { return expression }
    return argument.step(name, otherwise: members["otherwise"]).map { .then(expression, $0) }
  }

  func choices() -> [MappingExpression]? {
    guard let fields = oneOrMany() else { return nil }
    let choices = fields.compactMap { $0.expression() }
    return choices.count == fields.count ? choices : nil
  }

  private func origin(_ members: [String: YAMLField], takesMany: Bool) -> MappingExpression? {
    if let value = members["value"] { return value.constant().map(MappingExpression.constant) }
    if let path = members["path"] { return path.expression() }
    if let percent = members["percent"] {
      guard let parts = percent.elements()?.compactMap({ $0.expression() }) else { return nil }
      guard parts.count == 2 else {
        percent.report("percent needs two values: the part and the whole")
        return nil
      }
      return .percent(parts[0], of: parts[1])
    }
    guard let join = members["join"], let parts = join.elements() else { return nil }
    let expressions = parts.compactMap { $0.expression(takesMany: takesMany) }
    let separator = members["with"].map { $0.node.scalar?.string ?? "" } ?? ":"
    return expressions.count == parts.count ? .join(expressions, separator: separator) : nil
  }

  /// `{negative: [0, 6], neutral: [7, 8], positive: [9, 10]}`, both ends included.
  func scoreBands() -> [ScoreBand]? {
    guard let entries = members() else { return nil }
    var bands: [ScoreBand] = []
    for (key, field) in entries {
      guard let ends = field.elements() else { return nil }
      let numbers = ends.compactMap { $0.number() }
      guard ends.count == 2, numbers.count == 2, numbers[0] <= numbers[1] else {
        field.report("a band is [lowest, highest]")
        return nil
      }
      bands.append(ScoreBand(range: numbers[0]...numbers[1], label: JSONConstant(string: key.text)))
    }
    return bands
  }

  // MARK: Time

  /// A reference, a mapping with `path` and `unit`, or a list of them.
  func times() -> [MappingTime]? {
    guard let fields = oneOrMany() else { return nil }
    let times = fields.compactMap { $0.time() }
    return times.count == fields.count ? times : nil
  }

  private func time() -> MappingTime? {
    guard isMapping else { return reference().map { MappingTime(.reference($0), unit: .auto) } }
    guard let members = members(MappingLanguage.timeObject), let path = members["path"] else { return nil }
    guard let expression = path.expression() else { return nil }
    guard let unit = members["unit"] else { return MappingTime(expression, unit: .auto) }
    guard let name = unit.text() else { return nil }
    guard let known = TimeUnit(rawValue: name) else {
      let units = TimeUnit.allCases.map(\.rawValue)
      unit.report("the unit \(name) is not known", hint: "known: \(units.joined(separator: ", "))")
      return nil
    }
    return MappingTime(expression, unit: known)
  }

  // MARK: Client

  /// Expressions that name the client, or a mapping.
  func client() -> MappingClient? {
    guard let keys = node.mapping, !MappingLanguage.valueObject.exactlyOneOf.contains(where: { keys[Node($0)] != nil })
    else {
      return choices().map { MappingClient($0) }
    }
    guard let members = members(MappingLanguage.clientObject), let from = members["from"] else { return nil }
    guard let references = from.choices() else { return nil }
    var client = MappingClient(references)
    if let refuse = members["refuse"] {
      guard let texts = refuse.constants() else { return nil }
      for text in texts.map({ $0.text.lowercased() }) {
        if text == "*" {
          refuse.report("* would refuse every id", hint: "a prefix has a text before the star: guest:*")
        } else if text.hasSuffix("*") {
          client.refusedPrefixes.append(String(text.dropLast()))
        } else {
          client.refused.insert(text)
        }
      }
    }
    if let known = members["known"] {
      guard let flag = known.bool() else { return nil }
      if flag, references.count < 2, from.node.sequence == nil {
        known.report("known needs several ids", hint: "from: [$.user.id, $.anonymousId]")
      }
      client.prefersKnown = flag
    }
    if let email = members["email"] {
      guard let expression = email.expression() else { return nil }
      client.email = expression
    }
    if let verified = members["emailVerified"] {
      guard let flag = verified.bool() else { return nil }
      client.isEmailVerified = flag
    }
    if let unknown = members["unknown"] {
      guard let policy: UnknownClient = unknown.keyword() else { return nil }
      client.whenUnknown = policy
    }
    if let reason = members["reason"] {
      guard let text = reason.text() else { return nil }
      client.reason = text
    }
    return client
  }

  func creation() -> MappingCreation? {
    guard let members = members(MappingLanguage.create) else { return nil }
    var creation = MappingCreation()
    creation.name = members["name"]?.expression()
    creation.email = members["email"]?.expression()
    creation.phone = members["phone"]?.expression()
    return creation
  }
}
