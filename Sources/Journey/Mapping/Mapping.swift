public import FoundationEssentials

/// The rules that map a source's bodies to events. Immutable and safe to share between threads.
public struct Mapping: Sendable {
  /// The name of the source in the `x-source` header.
  public let source: String
  public let summary: String
  public let version: String
  public let envelope: MappingEnvelope
  public let rules: [MappingRule]
  /// The organisation for each vendor's account id; `*` matches any account.
  public var tenants: [String: UUID] = [:]
  /// Event types of one's own that its rules make.
  public var ownTypes: Set<String> = []
  /// What happens to an element that no rule names.
  public let unlisted: UnlistedPolicy
  private let candidates: RuleCandidates
  /// Whether the split yields plain values, of which each is an event of what surrounds the list.
  private let takesPlainValues: Bool
  /// For each rule, whether its events have the envelope's type.
  private let isTypedByEnvelope: [Bool]
  /// `envelope.organization` without the header that the caller may already have read.
  private let organizationBesidesHeader: [MappingExpression]

  public init(
    source: String, summary: String = "", version: String = "1", envelope: MappingEnvelope, rules: [MappingRule],
    unlisted: UnlistedPolicy = .reject
  ) {
    self.source = source
    self.summary = summary
    self.version = version
    self.envelope = envelope
    self.rules = rules
    self.unlisted = unlisted
    candidates = RuleCandidates(rules)
    takesPlainValues = !envelope.splits.isEmpty && !envelope.type.readsMembers
    isTypedByEnvelope = rules.map { rule in
      if case .event(let template) = rule.outcome { template.type == envelope.type } else { false }
    }
    organizationBesidesHeader = envelope.organization.filter { $0 != .reference(.header("x-org-id")) }
  }

  /// Maps one body: each element becomes an event, is ignored, or is rejected. A rejected element does not affect the
  /// others.
  /// - Parameter reader: derives the signals of the events; nil: none.
  public func map(_ input: consuming MappingInput, signals reader: SignalReader? = nil) -> MappingResult {
    let elements = envelope.elements(of: input.document)
    if elements.isEmpty {
      if let reason = envelope.emptyReason {
        return MappingResult(outcomes: [.ignored(rule: "(no event)", reason: reason)])
      }
      return MappingResult(outcomes: [
        .rejected(Rejection(.malformed, field: envelope.splitText, "the body holds no event"), element: 0)
      ])
    }
    if elements.count > input.limits.maxElements {
      let rejection = Rejection(
        .tooLarge, field: envelope.splitText, value: "\(elements.count) events",
        "the body holds more than \(input.limits.maxElements) events")
      return MappingResult(outcomes: [.rejected(rejection, element: 0)])
    }
    var outcomes: [MappingOutcome] = []
    outcomes.reserveCapacity(elements.count)
    var signals: [Signals] = []
    if reader != nil { signals.reserveCapacity(elements.count) }
    var context = MappingContext(input: input)
    for (position, element) in elements.enumerated() {
      context.element = element.node
      context.outer = element.outer
      do throws(Rejection) {
        outcomes.append(
          try outcome(in: context, position: position, isAlone: elements.count == 1, reader, &signals))
      } catch {
        outcomes.append(.rejected(error, element: position))
      }
    }
    return MappingResult(outcomes: outcomes, signals: signals)
  }

  /// - Parameter signals: receives the signals of an event if there is a reader.
  func outcome(
    in context: borrowing MappingContext, position: Int, isAlone: Bool, _ reader: SignalReader?,
    _ signals: inout [Signals]
  ) throws(Rejection) -> MappingOutcome {
    guard context.input.document.nodes[context.element].kind == .object || takesPlainValues else {
      throw Rejection(.malformed, field: "$", "is not an object")
    }
    if let testTraffic = envelope.testTraffic, !context.input.takesTestTraffic, testTraffic.holds(in: context) {
      return .ignored(rule: Self.testTraffic, reason: "the vendor marks it as a test")
    }
    let type = envelope.type.text(in: context)
    guard let rule = rule(for: type, in: context) else {
      guard unlisted == .count, let type, !type.isEmpty else { throw unknown(type) }
      return .unlisted(type: type.shortened(to: 200))
    }
    switch rules[rule].outcome {
    case .ignore(let reason): return .ignored(rule: rules[rule].name, reason: reason)
    case .reject(let rejection): throw rejection
    case .event(let template):
      let typed = isTypedByEnvelope[rule] ? type : nil
      return .event(
        try event(from: template, type: typed, in: context, position: position, isAlone: isAlone, reader, &signals))
    }
  }

  /// The name in reports for what is ignored as test traffic.
  public static let testTraffic = "test traffic"

  private func rule(for type: String?, in context: borrowing MappingContext) -> Int? {
    let (indices, taken) = candidates.indices(for: type)
    for index in indices where taken || rules[index].takes(type: type) {
      if rules[index].condition?.holds(in: context) ?? true { return index }
    }
    return nil
  }

  private func unknown(_ type: String?) -> Rejection {
    guard let type, !type.isEmpty else {
      return Rejection(.missingField, field: envelope.type.description, "the event's type is missing")
    }
    return Rejection(
      .unknownType, field: envelope.type.description, value: type,
      "no rule of the mapping \(source) takes this event type")
  }

  // MARK: The event

  private func event(
    from template: EventTemplate, type known: String?, in context: borrowing MappingContext, position: Int,
    isAlone: Bool,
    _ reader: SignalReader?, _ signals: inout [Signals]
  ) throws(Rejection) -> JourneyEvent {
    let orgID = try organization(in: context)
    let source = try sourceName(in: context)
    let id = try eventID(template.id, in: context, position: position, isAlone: isAlone)
    let type = try required(template.type, "the event's type is missing", known: known, in: context)
    let (occurredAt, origin) = try time(template.time, in: context)
    var client = try template.client.read(in: context, group: template.group)
    if !template.linked.isEmpty { client.linked = try ids(template.linked, in: context) }
    if !template.merged.isEmpty, !client.namesOnlyGroup { client.merged = try ids(template.merged, in: context) }
    if let creation = template.creation, !client.namesOnlyGroup {
      client.creation = try creation.read(in: context, isEmailVerified: template.client.isEmailVerified)
    }
    let stage = try stage(template.stage, in: context)
    let actor = template.actor.read(in: context)
    let minStage: Stage? = if case .atLeast(let stage) = template.stage { stage } else { nil }
    let composed = try template.composeMetadata(in: context, timeOrigin: origin)
    let metadata = try composed.write(context.input.limits)
    if let reader {
      signals.append(
        reader.signals(
          type: type, stage: stage ?? minStage, actor: actor, sourceEventID: id, metadata: composed))
    }
    return JourneyEvent(
      orgID: orgID, source: source, sourceEventID: id, client: client, type: type, stage: stage,
      minStage: minStage, actor: actor, occurredAt: occurredAt, metadata: metadata)
  }

  /// If a message names its organisation in several fields, all must agree. Otherwise the event could be attributed to
  /// the wrong one.
  private func organization(in context: borrowing MappingContext) throws(Rejection) -> UUID {
    var found = context.input.orgID
    for expression in found == nil ? envelope.organization : organizationBesidesHeader {
      let value = expression.evaluate(in: context)
      guard let id = value.uuid(in: context.input.document) else {
        guard let text = value.text(in: context.input.document), !text.isEmpty else { continue }
        throw Rejection(
          .invalidField, field: expression.description, value: text, "an organization is named by its UUID")
      }
      if let found, found != id {
        throw Rejection(
          .invalidField, field: expression.description, value: value.text(in: context.input.document),
          "the message names another organization as well")
      }
      found = id
    }
    return try organizationOfTenant(named: found, in: context)
  }

  /// - Parameter named: the organisation that the message names itself.
  private func organizationOfTenant(named: UUID?, in context: borrowing MappingContext) throws(Rejection) -> UUID {
    if let named, tenants.isEmpty { return named }
    for expression in envelope.tenant {
      guard let account = expression.text(in: context), !account.isEmpty else { continue }
      if let id = tenants[account] {
        guard named == nil || named == id else {
          throw Rejection(
            .invalidField, field: expression.description, value: account,
            "this account of \(source) belongs to another organization than the message names")
        }
        return id
      }
      if let id = named ?? tenants["*"] { return id }
      throw Rejection(
        .unknownOrganization, field: expression.description, value: account,
        "no organization has this account of \(source): add it to the table of tenants, or send the header x-org-id")
    }
    if let id = named ?? tenants["*"] { return id }
    let fields = (envelope.organization + envelope.tenant).map(\.description).joined(separator: " or ")
    throw Rejection(.missingField, field: fields, "the organization is missing")
  }

  /// All ids that the expressions yield.
  private func ids(_ expressions: [MappingExpression], in context: borrowing MappingContext) throws(Rejection)
    -> [String]
  {
    var ids: [String] = []
    for expression in expressions {
      for value in expression.all(in: context) {
        guard let text = value.text(in: context.input.document), !text.isEmpty else {
          throw Rejection(.invalidField, field: expression.description, "a client is named by a string or a number")
        }
        try context.input.limits.check(text, field: expression)
        ids.append(text)
      }
    }
    return ids
  }

  private func sourceName(in context: borrowing MappingContext) throws(Rejection) -> String {
    guard let expression = envelope.source else { return source }
    return try required(expression, "the event's source is missing", in: context)
  }

  /// If only the message has an id, all elements of its body share it. The position tells them apart, and is the same
  /// on redelivery.
  private func eventID(
    _ choices: [MappingExpression], in context: borrowing MappingContext, position: Int, isAlone: Bool
  ) throws(Rejection) -> String {
    for expression in choices {
      let value = expression.evaluate(in: context)
      guard !value.isNothing else { continue }
      guard let text = value.text(in: context.input.document) else {
        throw Rejection(.invalidField, field: expression.description, "an id is a string or a number")
      }
      if text.isEmpty { continue }
      try context.input.limits.check(text, field: expression)
      return text
    }
    if let text = context.input.messageID, !text.isEmpty {
      try context.input.limits.check(text, field: .reference(.property(.messageID)))
      return isAlone ? text : "\(text)#\(position)"
    }
    let fields = choices.map(\.description) + ["property:message_id"]
    throw Rejection(.missingField, field: fields.joined(separator: " or "), "the event's id is missing")
  }

  private func time(_ choices: [MappingTime], in context: borrowing MappingContext) throws(Rejection) -> (
    Timestamp, TimeOrigin
  ) {
    for (position, choice) in choices.enumerated() {
      guard let read = choice.read(in: context) else { continue }
      guard let time = read else {
        throw Rejection(
          .invalidField, field: choice.expression.description, value: choice.expression.text(in: context),
          "is not a time (unit \(choice.unit.rawValue))")
      }
      try context.input.limits.check(time, field: choice.expression.description)
      return (time, choice.origin(isFirst: position == 0))
    }
    if let time = context.input.timestamp {
      try context.input.limits.check(time, field: "property:timestamp")
      return (time, .message)
    }
    let fields = choices.map(\.expression.description) + ["property:timestamp"]
    throw Rejection(.missingField, field: fields.joined(separator: " or "), "the time of the event is missing")
  }

  private func stage(_ rule: StageRule, in context: borrowing MappingContext) throws(Rejection) -> Stage? {
    switch rule {
    case .keep, .atLeast: return nil
    case .set(let stage): return stage
    case .named(let expression):
      guard let name = expression.text(in: context), !name.isEmpty else {
        if let raw = expression.rawText(in: context) {
          throw Rejection(
            .invalidField, field: expression.description, value: raw, "the mapping has no stage for this value")
        }
        throw Rejection(.missingField, field: expression.description, "the stage is missing")
      }
      guard let stage = Stage(rawValue: name) else {
        let names = Stage.allCases.map(\.rawValue).joined(separator: ", ")
        throw Rejection(.invalidField, field: expression.description, value: name, "not one of the stages \(names)")
      }
      return stage
    }
  }

  /// - Parameter known: the expression's value, if already known.
  private func required(
    _ expression: MappingExpression, _ missing: String, known: String? = nil, in context: borrowing MappingContext
  ) throws(Rejection) -> String {
    if case .constant(let constant) = expression { return constant.text }
    guard let text = known ?? expression.text(in: context), !text.isEmpty else {
      throw Rejection(.missingField, field: expression.description, value: expression.rawText(in: context), missing)
    }
    try context.input.limits.check(text, field: expression)
    return text
  }
}
