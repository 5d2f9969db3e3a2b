import FoundationEssentials

/// How a mapping identifies the client of an event.
public struct MappingClient: Hashable, Sendable {
  /// Tried in order; the first value that exists and is no sentinel identifies the client.
  public var references: [MappingExpression]
  /// Texts that stand for "no client" besides `sentinels`, in lower case.
  public var refused: Set<String>
  /// Prefixes of such texts, in lower case.
  public var refusedPrefixes: [String]
  /// Whether the first id that is known identifies the client. If none is known, the first that is present does.
  public var prefersKnown: Bool
  /// The client's e-mail address. If the source verifies it, it identifies a client whose source id is still unknown.
  public var email: MappingExpression?
  /// Whether the source verifies that the client owns the address. An unverified address is not used for lookups.
  public var isEmailVerified: Bool
  /// What to do with an event of an unknown client.
  public var whenUnknown: UnknownClient
  /// The rejection message if the body names no client.
  public var reason: String

  /// What vendors write for "no client", in lower case.
  public static let sentinels: Set<String> = [
    "", "null", "nil", "none", "undefined", "n/a", "na", "-", "unknown", "anonymous", "no response", "redacted",
  ]

  /// The maximum number of ids of one event among which the first that is known is looked up.
  public static let maxCandidates = 8

  private static let maxSentinelLength = sentinels.map(\.utf8.count).max() ?? 0

  public init(
    _ references: [MappingExpression], refused: Set<String> = [], refusedPrefixes: [String] = [],
    prefersKnown: Bool = false, email: MappingExpression? = nil, isEmailVerified: Bool = false,
    whenUnknown: UnknownClient = .asSettingsSay,
    reason: String = "the event names no client"
  ) {
    self.references = references
    self.refused = refused
    self.refusedPrefixes = refusedPrefixes
    self.prefersKnown = prefersKnown
    self.email = email
    self.isEmailVerified = isEmailVerified
    self.whenUnknown = whenUnknown
    self.reason = reason
  }

  /// - Parameter group: the group of the event. An event that names only a group is the group's.
  func read(in context: borrowing MappingContext, group: MappingExpression?) throws(Rejection) -> ClientReference {
    let group = try id(of: group, in: context)
    var sentinel: (field: String, value: String)?
    var client: ClientReference?
    for reference in references {
      let value = reference.evaluate(in: context)
      if value.isNothing { continue }
      guard let text = value.text(in: context.input.document) else {
        throw Rejection(.invalidField, field: reference.description, "a client is named by a string or a number")
      }
      if isSentinel(text) {
        sentinel = sentinel ?? (reference.description, text)
        continue
      }
      try context.input.limits.check(text, field: reference)
      guard client == nil else {
        client?.add(alternative: text)
        continue
      }
      client = ClientReference(
        id: UUID(hyphenated: text), externalID: text, email: isEmailVerified ? try address(in: context) : nil,
        ignoresEmail: email != nil && !isEmailVerified, group: group, whenUnknown: whenUnknown)
      if !prefersKnown { break }
    }
    if let client { return client }
    if let group { return ClientReference(group: group, whenUnknown: whenUnknown) }
    if let sentinel { throw Rejection(.missingField, field: sentinel.field, value: sentinel.value, reason) }
    let fields = references.map(\.description).joined(separator: " or ")
    throw Rejection(.missingField, field: fields.isEmpty ? "client" : fields, reason)
  }

  private func id(of group: MappingExpression?, in context: borrowing MappingContext) throws(Rejection) -> String? {
    guard let group else { return nil }
    let value = group.evaluate(in: context)
    if value.isNothing { return nil }
    guard let text = value.text(in: context.input.document) else {
      throw Rejection(.invalidField, field: group.description, "a group is named by a string or a number")
    }
    if Self.sentinels.contains(text.trimmed.lowercased()) { return nil }
    try context.input.limits.check(text, field: group)
    return text
  }

  private func address(in context: borrowing MappingContext) throws(Rejection) -> String? {
    guard let email, let text = email.text(in: context)?.trimmed, text.contains("@"), !isSentinel(text) else {
      return nil
    }
    try context.input.limits.check(text, field: email)
    return text
  }

  private func isSentinel(_ text: String) -> Bool {
    // Most ids are longer than any sentinel.
    let text = text.trimmed
    if text.utf8.count > Self.maxSentinelLength, refused.isEmpty, refusedPrefixes.isEmpty { return false }
    let folded = text.lowercased()
    return Self.sentinels.contains(folded) || refused.contains(folded)
      || refusedPrefixes.contains { folded.hasPrefix($0) }
  }
}

extension ClientReference {
  fileprivate mutating func add(alternative text: String) {
    guard alternatives.count + 1 < MappingClient.maxCandidates, text != externalID, !alternatives.contains(text) else {
      return
    }
    alternatives.append(text)
  }
}

/// The fields for creating an unknown client.
public struct MappingCreation: Hashable, Sendable {
  public var name: MappingExpression?
  public var email: MappingExpression?
  public var phone: MappingExpression?

  public init(name: MappingExpression? = nil, email: MappingExpression? = nil, phone: MappingExpression? = nil) {
    self.name = name
    self.email = email
    self.phone = phone
  }

  func read(in context: borrowing MappingContext, isEmailVerified: Bool) throws(Rejection) -> NewClient {
    NewClient(
      name: try text(name, in: context), email: try text(email, in: context), phone: try text(phone, in: context),
      isEmailVerified: isEmailVerified)
  }

  private func text(_ expression: MappingExpression?, in context: borrowing MappingContext) throws(Rejection) -> String?
  {
    guard let expression, let text = expression.text(in: context)?.trimmed, !text.isEmpty else { return nil }
    try context.input.limits.check(text, field: expression)
    return text
  }
}

extension String {
  /// Without white space at both ends.
  var trimmed: String {
    // Fast path for printable ASCII at both ends, without Unicode's tables.
    if let first = utf8.first, let last = utf8.last, 0x21...0x7E ~= first, 0x21...0x7E ~= last { return self }
    guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace }) else {
      return ""
    }
    return first == startIndex && index(after: last) == endIndex ? self : String(self[first...last])
  }
}
