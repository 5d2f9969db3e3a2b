/// One rule of a mapping: which elements it takes, and what it makes of them.
public struct MappingRule: Sendable {
  /// Unique in its mapping; named in traces and reports.
  public var name: String
  /// The types that the rule takes; empty for any.
  public var types: [TypePattern]
  public var condition: MappingCondition?
  public var outcome: Outcome

  public enum Outcome: Sendable {
    /// The element means nothing for a journey; the reason is for people.
    case ignore(reason: String)
    /// The element means something, and cannot be used: it goes to the dead letters.
    case reject(Rejection)
    case event(EventTemplate)
  }

  public init(name: String, types: [TypePattern], condition: MappingCondition? = nil, outcome: Outcome) {
    self.name = name
    self.types = types
    self.condition = condition
    self.outcome = outcome
  }

  /// Whether the rule takes whatever no other rule takes.
  public var isCatchAll: Bool { condition == nil && (types.isEmpty || types.contains(.prefix(""))) }

  /// Whether this rule, standing before `other`, leaves it nothing to take.
  public func covers(_ other: MappingRule) -> Bool {
    // Whatever holds for `other` holds here too.
    guard Set(condition?.parts ?? []).isSubset(of: other.condition?.parts ?? []) else { return false }
    if types.isEmpty { return true }
    return !other.types.isEmpty && other.types.allSatisfy { theirs in types.contains { $0.covers(theirs) } }
  }

  func takes(type: String?) -> Bool { types.isEmpty || type.map { type in types.contains { $0.takes(type) } } ?? false }
}

/// A type, or all types that begin alike: `invoice.paid`, `customer.subscription.*`.
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

  /// Whether this pattern takes every type that `other` takes.
  public func covers(_ other: TypePattern) -> Bool {
    switch (self, other) {
    case (_, .exactly(let text)): takes(text)
    case (.prefix(let text), .prefix(let longer)): longer.hasPrefix(text)
    case (.exactly, .prefix): false
    }
  }
}

/// How a rule makes an event. What a rule leaves open, the loader has filled in from the mapping's envelope. A class,
/// since each event asks for it and it never changes.
public final class EventTemplate: Sendable {
  /// Tried in order; after them the message's own `message_id`.
  public let id: [MappingExpression]
  public let type: MappingExpression
  public let stage: StageRule
  /// Tried in order; after them the message's own timestamp.
  public let time: [MappingTime]
  public let client: MappingClient
  /// Set where the rule may create a client that nobody knows yet.
  public let creation: MappingCreation?
  /// Ids of things of the client, by which later events name it.
  public let linked: [MappingExpression]
  /// Other ids by which the source knows the client; all of them become one client.
  public let merged: [MappingExpression]
  public let metadata: MappingMetadata

  public init(
    id: [MappingExpression], type: MappingExpression, stage: StageRule, time: [MappingTime], client: MappingClient,
    creation: MappingCreation? = nil, linked: [MappingExpression] = [], merged: [MappingExpression] = [],
    metadata: MappingMetadata
  ) {
    self.id = id
    self.type = type
    self.stage = stage
    self.time = time
    self.client = client
    self.creation = creation
    self.linked = linked
    self.merged = merged
    self.metadata = metadata
  }
}

/// Which stage an event sets.
public enum StageRule: Hashable, Sendable {
  /// None: the client stays where it is.
  case keep
  case set(Stage)
  /// The stage whose name the expression yields; where it yields none of the nine, the element is rejected.
  case named(MappingExpression)
}
