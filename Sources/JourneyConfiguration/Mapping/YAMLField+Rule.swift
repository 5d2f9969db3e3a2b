import Journey
import Yams

/// The parts of an envelope that rules use by default.
struct MappingDefaults {
  var id: [MappingExpression] = []
  var time: [MappingTime] = []
  var client: MappingClient?
  var group: MappingExpression?
  var metadata = MappingMetadata()
  /// Event types of one's own, with who acts in them.
  var types: [String: Actor] = [:]
}

extension YAMLField {
  func rule(defaults: MappingDefaults) -> MappingRule? {
    guard let members = members(MappingLanguage.rule) else { return nil }
    guard let name = members["name"]?.text(), let when = members["when"] else { return nil }
    let match = when.match()
    var outcome: MappingRule.Outcome?
    if let field = members["ignore"] { outcome = field.text().map { .ignore(reason: $0) } }
    if let field = members["reject"] { outcome = field.rejection().map { .reject($0) } }
    if let field = members["event"] { outcome = field.event(defaults: defaults).map { .event($0) } }
    guard let match, let outcome else { return nil }
    if case .ignore = outcome, match.types.isEmpty || match.types.contains(.prefix("")) {
      when.refuse(
        "an ignore rule names the types that it ignores",
        hint: "what no rule names is passed by and counted; unlisted: reject makes it a dead letter")
    }
    let rule = MappingRule(
      name: name, types: match.types, condition: match.condition, outcome: outcome,
      statesReason: members["states"]?.text())
    if rule.readsStateOfUpdate {
      when.warn(
        "reads a state, but its type tells of every edit: test that the value changed, or say why not with states: …")
    }
    return rule
  }

  private func rejection() -> Rejection? {
    guard isMapping else { return text().map { Rejection(.invalidField, $0) } }
    guard let members = members(MappingLanguage.reject), let reason = members["reason"]?.text() else { return nil }
    var code = Rejection.Code.invalidField
    if let field = members["code"] {
      guard let text = field.text() else { return nil }
      let codes = MappingLanguage.rejectionCodes
      guard codes.contains(text) else {
        field.report("the code \(text) is not known", hint: "known: \(codes.joined(separator: ", "))")
        return nil
      }
      code = Rejection.Code(rawValue: text)
    }
    return Rejection(code, field: members["field"]?.text(), reason)
  }

  private func event(defaults: MappingDefaults) -> EventTemplate? {
    guard let members = members(MappingLanguage.event) else { return nil }
    var isWhole = true
    func read<T>(_ key: String, _ fallback: T?, _ read: (YAMLField) -> T?) -> T? {
      guard let field = members[key] else { return fallback }
      let value = read(field)
      if value == nil { isWhole = false }
      return value
    }
    let id = read("id", defaults.id) { $0.choices() }
    let time = read("time", defaults.time) { $0.times() }
    let group = read("group", defaults.group) { $0.expression() }
    // An event may be for a group alone.
    let client = read("client", defaults.client ?? group.map { _ in MappingClient([]) }) { $0.client() }
    let creation = read("create", nil) { $0.creation() }
    let merged = read("merge", []) { $0.ids() }
    let linked = read("link", []) { $0.ids() }
    let metadata = read("metadata", defaults.metadata) { $0.metadata(adding: defaults.metadata) }
    let type = read("type", nil) { $0.eventType() }
    var actor = read("by", .asTypeSays) { $0.actor() } ?? .asTypeSays
    if case .constant(let name)? = type, EventTypes.actor(of: name.text) == nil {
      if actor == .asTypeSays, let own = defaults.types[name.text] { actor = .set(own) }
      if defaults.types[name.text] == nil {
        let hint = nearest(name.text, among: EventTypes.all.map(\.type) + defaults.types.keys).map {
          "did you mean \($0)?"
        }
        members["type"]?.refuse(
          "\(name.text) is not a canonical event type",
          hint: hint ?? "journey mappings describe lists them; declare one of your own in types: {\(name.text): client}"
        )
      }
    }
    let stage = read("stage", nil) { $0.stage() }
    if client == nil, members["client"] == nil, members["group"] == nil {
      report("no client: neither the rule nor the envelope says where the client's id stands")
    }
    guard isWhole, let id, let time, let client, let merged, let linked, var metadata, let type, let stage else {
      return nil
    }
    if let key = members["naturalKey"] {
      guard let value = key.expression() else { return nil }
      metadata.fields.append(MappingMetadata.Field("naturalKey", value))
    }
    return EventTemplate(
      id: id, type: type, stage: stage, time: time, client: client, group: group, creation: creation, linked: linked,
      merged: merged, metadata: metadata, actor: actor)
  }

  /// Further ids: each a value, or a path with `[*]` for a list of them.
  private func ids() -> [MappingExpression]? {
    guard let fields = oneOrMany() else { return nil }
    let expressions = fields.compactMap { $0.expression(takesMany: true) }
    return expressions.count == fields.count ? expressions : nil
  }

  /// A word is the type itself; a path or a mapping is where to find it.
  private func eventType() -> MappingExpression? {
    guard let keyword = node.scalar?.string, !keyword.hasPrefix("$"), !keyword.contains(":") else {
      return expression()
    }
    return text().map { .constant(JSONConstant(string: $0)) }
  }

  /// A word, or where one is.
  private func actor() -> ActorRule? {
    guard let text = node.scalar?.string, !text.hasPrefix("$"), !text.contains(":") else {
      return expression().map(ActorRule.named)
    }
    return keyword().map(ActorRule.set)
  }

  private func stage() -> StageRule? {
    if node.mapping?["at-least"] != nil {
      return members(MappingLanguage.stage)?["at-least"]?.keyword().map(StageRule.atLeast)
    }
    guard let keyword = node.scalar?.string, !keyword.hasPrefix("$"), !keyword.contains(":") else {
      return expression().map(StageRule.named)
    }
    if keyword == "keep" { return .keep }
    if let stage = Stage(rawValue: keyword) { return .set(stage) }
    let stages = Stage.allCases.map(\.rawValue)
    let hint = nearest(keyword, among: stages + ["keep"]).map { "did you mean \($0)?" }
    report("\(keyword) is not a stage", hint: hint ?? "stages: \(stages.joined(separator: ", ")); or keep")
    return nil
  }

  /// A path replaces the envelope's metadata. Members are added to it and override those of the same name; null removes
  /// one.
  func metadata(adding defaults: MappingMetadata) -> MappingMetadata? {
    guard isMapping else { return expression().map { MappingMetadata(base: $0, redacted: defaults.redacted) } }
    guard let entries = members() else { return nil }
    var metadata = defaults
    for (key, field) in entries {
      metadata.fields.removeAll { $0.name == key.text }
      if field.isNull { continue }
      guard let value = field.expression() else { return nil }
      metadata.fields.append(MappingMetadata.Field(key.text, value))
    }
    return metadata
  }
}
