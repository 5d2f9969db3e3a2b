/// One rule of a mapping: which elements it matches, and their outcome.
public struct MappingRule: Sendable {
  /// Unique in its mapping; used in traces and reports.
  public var name: String
  /// The types that the rule accepts; empty for any.
  public var types: [TypePattern]
  public var condition: MappingCondition?
  public var outcome: Outcome
  /// Why the rule reads a state although its type reports every edit; nil: it does not, or should not.
  public var statesReason: String?

  public enum Outcome: Sendable {
    /// Ignores the element; the reason is for people.
    case ignore(reason: String)
    /// Rejects an element that has a meaning but cannot be used.
    case reject(Rejection)
    case event(EventTemplate)
  }

  public init(
    name: String, types: [TypePattern], condition: MappingCondition? = nil, outcome: Outcome,
    statesReason: String? = nil
  ) {
    self.name = name
    self.types = types
    self.condition = condition
    self.outcome = outcome
    self.statesReason = statesReason
  }

  /// Whether the rule accepts every element.
  public var isCatchAll: Bool { condition == nil && (types.isEmpty || types.contains(.prefix(""))) }

  /// Whether this rule, placed before `other`, matches everything that `other` matches.
  public func covers(_ other: MappingRule) -> Bool {
    // The conditions of this rule must be a subset of those of `other`.
    guard Set(condition?.parts ?? []).isSubset(of: other.condition?.parts ?? []) else { return false }
    if types.isEmpty { return true }
    return !other.types.isEmpty && other.types.allSatisfy { theirs in types.contains { $0.covers(theirs) } }
  }

  func takes(type: String?) -> Bool { types.isEmpty || type.map { type in types.contains { $0.takes(type) } } ?? false }
}

/// A type or a prefix of types: `invoice.paid`, `customer.subscription.*`.
public enum TypePattern: Hashable, Sendable {
  case exactly(String)
  case prefix(String)

  public init(_ text: String) { self = text.hasSuffix("*") ? .prefix(String(text.dropLast())) : .exactly(text) }

  func takes(_ type: String) -> Bool {
    switch self {
    case .exactly(let text): type == text
    case .prefix(let text): type.hasPrefix(text)
    }
  }

  /// Whether this pattern matches every type that `other` matches.
  public func covers(_ other: TypePattern) -> Bool {
    switch (self, other) {
    case (_, .exactly(let text)): takes(text)
    case (.prefix(let text), .prefix(let longer)): longer.hasPrefix(text)
    case (.exactly, .prefix): false
    }
  }
}

/// How a rule makes an event. The loader fills in defaults from the mapping's envelope. A class, because every event
/// uses it and it never changes.
public final class EventTemplate: Sendable {
  /// Tried in order, then the message's `message_id`.
  public let id: [MappingExpression]
  public let type: MappingExpression
  public let stage: StageRule
  /// Tried in order, then the message's timestamp.
  public let time: [MappingTime]
  public let client: MappingClient
  /// The group that the client belongs to, or that an event without a client is for.
  public let group: MappingExpression?
  /// Set if the rule may create an unknown client.
  public let creation: MappingCreation?
  /// Ids of the client's objects, by which later events refer to it.
  public let linked: [MappingExpression]
  /// Other ids of the client in the source; all of them are merged into one client.
  public let merged: [MappingExpression]
  public let metadata: MappingMetadata
  public let actor: ActorRule

  public init(
    id: [MappingExpression], type: MappingExpression, stage: StageRule, time: [MappingTime], client: MappingClient,
    group: MappingExpression? = nil, creation: MappingCreation? = nil, linked: [MappingExpression] = [],
    merged: [MappingExpression] = [], metadata: MappingMetadata, actor: ActorRule = .asTypeSays
  ) {
    self.actor = actor
    self.id = id
    self.type = type
    self.stage = stage
    self.time = time
    self.client = client
    self.group = group
    self.creation = creation
    self.linked = linked
    self.merged = merged
    self.metadata = metadata
  }
}

/// Who acted in an event.
public enum ActorRule: Hashable, Sendable {
  case asTypeSays
  case set(Actor)
  /// Named by the expression; any other word is as the type says.
  case named(MappingExpression)

  func read(in context: borrowing MappingContext) -> Actor? {
    switch self {
    case .asTypeSays: nil
    case .set(let actor): actor
    case .named(let expression): expression.text(in: context).flatMap { Actor(rawValue: $0) }
    }
  }
}

/// The stage that an event sets.
public enum StageRule: Hashable, Sendable {
  /// The client keeps its stage.
  case keep
  case set(Stage)
  /// The client is raised to the stage if it is before it.
  case atLeast(Stage)
  /// The stage named by the expression. The element is rejected if the name is none of the nine stages.
  case named(MappingExpression)
}

/// What happens to an element that no rule of a mapping names.
public enum UnlistedPolicy: String, CaseIterable, Hashable, Sendable {
  /// It is passed by and counted, and one of its kind is kept as a sample.
  case count
  /// It becomes a dead letter.
  case reject
}
