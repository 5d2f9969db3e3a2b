import FoundationEssentials

/// Where a mapping finds a value.
public enum MappingReference: Hashable, Sendable, CustomStringConvertible {
  /// Below the current element: the whole body, or a part of it if the mapping splits the body.
  case path(JSONPath)
  /// Below the whole body, even if the mapping splits it. Written `body:$.path`.
  case body(JSONPath)
  /// Below the outer list's element, if the mapping splits a nested list. Written `outer:$.path`.
  case outer(JSONPath)
  /// Written `header:name`.
  case header(String)
  /// Written `property:name`.
  case property(MessageProperty)

  public var description: String {
    switch self {
    case .path(let path): path.description
    case .body(let path): "body:\(path)"
    case .outer(let path): "outer:\(path)"
    case .header(let name): "header:\(name)"
    case .property(let property): "property:\(property.rawValue)"
    }
  }

  /// - Throws: `JSONPathError` if the text has none of the five forms.
  public init(_ text: String) throws(JSONPathError) {
    if text.hasPrefix("$") {
      self = .path(try Self.single(text, column: 1))
    } else if text.hasPrefix("body:") {
      self = .body(try Self.single(String(text.dropFirst(5)), column: 6))
    } else if text.hasPrefix("outer:") {
      self = .outer(try Self.single(String(text.dropFirst(6)), column: 7))
    } else if text.hasPrefix("header:") {
      let name = String(text.dropFirst(7))
      if name.isEmpty { throw JSONPathError(column: 8, message: "a header's name is expected here") }
      self = .header(name)
    } else if text.hasPrefix("property:") {
      guard let property = MessageProperty(rawValue: String(text.dropFirst(9))) else {
        let names = MessageProperty.allCases.map(\.rawValue).joined(separator: ", ")
        throw JSONPathError(column: 10, message: "the message's properties are: \(names)")
      }
      self = .property(property)
    } else {
      throw JSONPathError(column: 1, message: "a reference starts with $, body:$, outer:$, header: or property:")
    }
  }

  private static func single(_ text: String, column: Int) throws(JSONPathError) -> JSONPath {
    do {
      let path = try JSONPath(text)
      if !path.isWildcard { return path }
    } catch {
      throw JSONPathError(column: error.column + column - 1, message: error.message)
    }
    throw JSONPathError(
      column: column,
      message: "[*] names many values; it is only allowed in the envelope's split and in the path of a condition")
  }
}

/// A path of which all values are meant.
public struct MappingPaths: Hashable, Sendable, CustomStringConvertible {
  public enum Scope: String, CaseIterable, Hashable, Sendable {
    /// Below the current element.
    case element = ""
    /// Below the whole body.
    case body = "body:"
    /// Below what surrounds the list that is split.
    case outer = "outer:"
  }

  public var scope: Scope
  public var path: JSONPath

  /// Whether a text means several values: it has a `[*]` or a filter.
  public static func isMany(_ text: String) -> Bool {
    text.contains("[*]") || text.contains("[?") && Scope.allCases.contains { text.hasPrefix($0.rawValue + "$") }
  }

  /// - Throws: `JSONPathError` if the text is not a path.
  public init(_ text: String) throws(JSONPathError) {
    scope = text.hasPrefix("body:") ? .body : text.hasPrefix("outer:") ? .outer : .element
    do {
      path = try JSONPath(String(text.dropFirst(scope.rawValue.count)))
    } catch {
      throw JSONPathError(column: error.column + scope.rawValue.count, message: error.message)
    }
  }

  public var description: String { "\(scope.rawValue)\(path)" }

  /// The nodes of all values, without null.
  func nodes(in context: borrowing MappingContext) -> [Int] {
    let document = context.input.document
    let start =
      switch scope {
      case .element: context.element
      case .body: 0
      case .outer: context.outer
      }
    return path.resolveAll(in: document, from: start).filter { document.nodes[$0].kind != .null }
  }
}

/// A property of the message, by its AMQP name.
public enum MessageProperty: String, CaseIterable, Hashable, Sendable {
  case messageID = "message_id"
  case timestamp
  case type
  case appID = "app_id"
  case routingKey = "routing_key"
  /// Not an AMQP property: when the adapter first received the message.
  case received
}

/// The context for evaluating expressions and conditions: one element of a message.
struct MappingContext {
  let input: MappingInput
  /// The node of the current element.
  var element = 0
  /// The node around it: the body, or the outer list's element if a nested list is split.
  var outer = 0

  func resolve(_ reference: MappingReference) -> ResolvedValue {
    switch reference {
    case .path(let path): node(path.resolve(in: input.document, from: element))
    case .body(let path): node(path.resolve(in: input.document, from: 0))
    case .outer(let path): node(path.resolve(in: input.document, from: outer))
    case .header(let name): text(input.header(name))
    case .property(.timestamp): input.timestamp.map(ResolvedValue.time) ?? .nothing
    case .property(.received): .time(input.received)
    case .property(.messageID): text(input.messageID)
    case .property(.type): text(input.type)
    case .property(.appID): text(input.appID)
    case .property(.routingKey): text(input.routingKey)
    }
  }

  /// Whether the referenced value exists, even if it is null.
  func isPresent(_ reference: MappingReference) -> Bool {
    switch reference {
    case .path(let path): path.resolve(in: input.document, from: element) != nil
    case .body(let path): path.resolve(in: input.document, from: 0) != nil
    case .outer(let path): path.resolve(in: input.document, from: outer) != nil
    case .header, .property: !resolve(reference).isNothing
    }
  }

  private func node(_ index: Int?) -> ResolvedValue {
    guard let index, input.document.nodes[index].kind != .null else { return .nothing }
    return .node(index)
  }

  private func text(_ text: String?) -> ResolvedValue { text.map(ResolvedValue.text) ?? .nothing }
}

/// The value of a reference or an expression.
enum ResolvedValue {
  /// Absent or null.
  case nothing
  case node(Int)
  /// A JSON value inside a string of the body.
  case embedded(JSONValue)
  case text(String)
  case time(Timestamp)
  case constant(JSONConstant)

  var isNothing: Bool { if case .nothing = self { true } else { false } }

  /// The text of a string, a number in its source notation, `true` or `false`; nil for nothing and containers.
  func text(in document: JSONDocument) -> String? {
    switch self {
    case .nothing: nil
    case .node(let index): JSONValue(document: document, index: index).text
    case .embedded(let value): value.text
    case .text(let text): text
    case .time(let time): time.iso8601
    case .constant(let constant): constant.text
    }
  }

  /// The value as JSON; nil for nothing.
  func json(from document: JSONDocument) -> JSONValue? {
    switch self {
    case .nothing: nil
    case .node(let index): JSONValue(document: document, index: index)
    case .embedded(let value): value
    case .text(let text): JSONConstant(string: text).document?.root
    case .time(let time): JSONConstant(string: time.iso8601).document?.root
    case .constant(let constant): constant.document?.root
    }
  }

  /// The text as a UUID. A value of the body is read in place, without a copy.
  func uuid(in document: JSONDocument) -> UUID? {
    guard case .node(let index) = self else { return text(in: document).flatMap { UUID(hyphenated: $0) } }
    let node = document.nodes[index]
    guard node.kind == .string else { return nil }
    guard !node.isComplex else { return UUID(hyphenated: document.string(at: index)) }
    return document.bytes.withUnsafeBufferPointer {
      UUID(hyphenated: UnsafeBufferPointer(rebasing: $0[Int(node.start)..<Int(node.end)]))
    }
  }

  func number(in document: JSONDocument) -> Double? { text(in: document).flatMap { Double($0) } }

  func write(to writer: inout JSONWriter, from document: JSONDocument) {
    switch self {
    case .nothing: writer.null()
    case .node(let index): writer.raw(document.raw(at: index))
    case .embedded(let value): writer.raw(value.rawBytes)
    case .text(let text): writer.string(text)
    case .time(let time): writer.string(time.iso8601)
    case .constant(let constant): writer.raw(constant.json)
    }
  }
}
