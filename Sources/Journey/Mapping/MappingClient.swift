import FoundationEssentials

/// How a mapping identifies the client of an event.
public struct MappingClient: Hashable, Sendable {
  /// Tried in order; the first value that exists and is no sentinel identifies the client.
  public var references: [MappingExpression]
  /// Texts that stand for "no client" besides `sentinels`, in lower case.
  public var refused: Set<String>
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

  private static let maxSentinelLength = sentinels.map(\.utf8.count).max() ?? 0

  public init(
    _ references: [MappingExpression], refused: Set<String> = [], email: MappingExpression? = nil,
    isEmailVerified: Bool = false, whenUnknown: UnknownClient = .asSettingsSay,
    reason: String = "the event names no client"
  ) {
    self.references = references
    self.refused = refused
    self.email = email
    self.isEmailVerified = isEmailVerified
    self.whenUnknown = whenUnknown
    self.reason = reason
  }

  func read(in context: borrowing MappingContext) throws(Rejection) -> ClientReference {
    var sentinel: (field: String, value: String)?
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
      return ClientReference(
        id: UUID(hyphenated: text), externalID: text, email: isEmailVerified ? try address(in: context) : nil,
        ignoresEmail: email != nil && !isEmailVerified, whenUnknown: whenUnknown)
    }
    if let sentinel { throw Rejection(.missingField, field: sentinel.field, value: sentinel.value, reason) }
    let fields = references.map(\.description).joined(separator: " or ")
    throw Rejection(.missingField, field: fields.isEmpty ? "client" : fields, reason)
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
    if text.utf8.count > Self.maxSentinelLength, refused.isEmpty { return false }
    let folded = text.lowercased()
    return Self.sentinels.contains(folded) || refused.contains(folded)
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
