/// What a rule stores of a body besides the fields of the event.
public struct MappingMetadata: Hashable, Sendable {
  /// An object that is stored unchanged, byte by byte if no field is added.
  public var base: MappingExpression?
  /// Members to add, in order. They replace members of the same name in the base.
  public var fields: [Field]

  public struct Field: Hashable, Sendable {
    public var name: String
    public var value: MappingExpression

    public init(_ name: String, _ value: MappingExpression) {
      self.name = name
      self.value = value
    }
  }

  /// Names of members with personal values, in lower case. Such values are replaced at any depth of copied objects.
  public var redacted: Set<String>

  public init(base: MappingExpression? = nil, fields: [Field] = [], redacted: Set<String> = []) {
    self.base = base
    self.fields = fields
    self.redacted = redacted
  }

}

extension EventTemplate {
  /// - Throws: the rejection if the metadata cannot be stored.
  func composeMetadata(in context: borrowing MappingContext, timeOrigin: TimeOrigin) throws(Rejection)
    -> ComposedMetadata
  {
    let document = context.input.document
    let limits = context.input.limits
    var composed = ComposedMetadata(template: self, document: document, timeOrigin: timeOrigin)
    switch metadata.base?.evaluate(in: context) {
    case .node(let index)?: composed.base = JSONValue(document: document, index: index)
    case .embedded(let value)?: composed.base = value
    default: break
    }
    if let object = composed.base {
      guard object.kind == .object else {
        throw Rejection(
          .invalidField, field: metadata.base?.description,
          value: String(decoding: object.rawBytes.prefix(201), as: UTF8.self),
          "is not an object")
      }
      try limits.checkNumbers(in: object.document, below: object.index, element: min(context.element, object.index))
    }
    for field in metadata.fields {
      let value = field.value.evaluate(in: context)
      if value.isNothing { continue }
      if case .node(let index) = value {
        try limits.checkNumbers(in: document, below: index, element: context.element)
      } else if case .embedded(let embedded) = value {
        try limits.checkNumbers(in: embedded.document, below: embedded.index, element: 0)
      }
      composed.fields.append((field.name, value))
    }
    return composed
  }
}

/// The metadata of one event before it is written, so that signals are read without parsing it again.
struct ComposedMetadata: SignalMetadata {
  let template: EventTemplate
  let document: JSONDocument
  let timeOrigin: TimeOrigin
  /// An object of the body that is copied.
  var base: JSONValue?
  /// Members that replace those of the base.
  var fields: [(name: String, value: ResolvedValue)] = []

  init(template: EventTemplate, document: JSONDocument, timeOrigin: TimeOrigin) {
    self.template = template
    self.document = document
    self.timeOrigin = timeOrigin
  }

  private var redacted: Set<String> { template.metadata.redacted }

  func member(_ name: StaticString) -> JSONValue? {
    let key = UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    // For a repeated name the last one counts, as in `jsonb`.
    for field in fields.reversed() where field.name.utf8.count == key.count && field.name.utf8.elementsEqual(key) {
      return field.value.json(from: document)
    }
    guard let member = base?.member(name) else { return nil }
    return !redacted.isEmpty && redacted.contains("\(name)".lowercased()) ? Self.redactedText.document?.root : member
  }

  private static let redactedText = JSONConstant(string: "[redacted]")

  /// The metadata as JSON.
  /// - Throws: the rejection if it exceeds the limit.
  func write(_ limits: EventLimits) throws(Rejection) -> [UInt8] {
    let metadata = bytes
    if metadata.count > limits.maxMetadataBytes {
      throw Rejection(
        .tooLarge, field: template.metadata.base?.description ?? "metadata", value: "\(metadata.count) bytes",
        "the event's metadata is longer than \(limits.maxMetadataBytes) bytes")
    }
    return metadata
  }

  private var bytes: [UInt8] {
    if fields.isEmpty, redacted.isEmpty, timeOrigin == .source {
      return base.map { Array($0.rawBytes) } ?? Array("{}".utf8)
    }
    var writer = JSONWriter()
    writer.beginObject()
    if let base {
      for (name, member) in base.members where !fields.contains(where: { $0.name == name }) {
        writer.key(name)
        write(member.index, named: name, of: base.document, to: &writer)
      }
    }
    for (name, value) in fields {
      writer.key(name)
      switch value {
      // The mapping picked this member on purpose; only members inside it may be redacted.
      case .node(let index): write(index, named: nil, of: document, to: &writer)
      case .embedded(let embedded): write(embedded.index, named: nil, of: embedded.document, to: &writer)
      default: value.write(to: &writer, from: document)
      }
    }
    if timeOrigin != .source {
      writer.key("timeFrom")
      writer.string(timeOrigin.rawValue)
    }
    writer.endObject()
    return writer.bytes
  }

  private func write(_ index: Int, named name: String?, of document: JSONDocument, to writer: inout JSONWriter) {
    if redacted.isEmpty { return writer.raw(document.raw(at: index)) }
    if let name, redacted.contains(name.lowercased()) { return writer.raw(Self.redactedText.json) }
    let value = JSONValue(document: document, index: index)
    switch value.kind {
    case .object:
      writer.beginObject()
      for (name, member) in value.members {
        writer.key(name)
        write(member.index, named: name, of: document, to: &writer)
      }
      writer.endObject()
    case .array:
      writer.beginArray()
      for element in value.elements { write(element.index, named: nil, of: document, to: &writer) }
      writer.endArray()
    default: writer.raw(document.raw(at: index))
    }
  }
}

/// The origin of an event's time.
enum TimeOrigin: String {
  /// The source's body or headers.
  case source
  /// The message's timestamp property, if the body has no time.
  case message
  /// The time of arrival, if there is no other.
  case received
}
