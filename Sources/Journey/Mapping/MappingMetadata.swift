/// What a rule keeps of a body besides the fields of the event.
public struct MappingMetadata: Hashable, Sendable {
  /// An object that is taken as it is, byte by byte where no field is added.
  public var base: MappingExpression?
  /// Members that are added to it, in order; one that is there replaces the base's member of the same name.
  public var fields: [Field]

  public struct Field: Hashable, Sendable {
    public var name: String
    public var value: MappingExpression

    public init(_ name: String, _ value: MappingExpression) {
      self.name = name
      self.value = value
    }
  }

  /// The names, in lower case, of members whose values are personal: wherever in objects that are taken as they are one
  /// of them stands, its value is replaced.
  public var redacted: Set<String>

  public init(base: MappingExpression? = nil, fields: [Field] = [], redacted: Set<String> = []) {
    self.base = base
    self.fields = fields
    self.redacted = redacted
  }

  /// - Parameter timeOrigin: where the event's time comes from; told in the member `timeFrom` unless the source itself
  ///   named it.
  func write(in context: borrowing MappingContext, timeOrigin: TimeOrigin = .source) throws(Rejection) -> [UInt8] {
    let document = context.input.document
    let limits = context.input.limits
    var object: JSONValue?
    switch base?.evaluate(in: context) {
    case .node(let index)?: object = JSONValue(document: document, index: index)
    case .embedded(let value)?: object = value
    default: break
    }
    if let object {
      guard object.kind == .object else {
        throw Rejection(
          .invalidField, field: base?.description, value: String(decoding: object.rawBytes.prefix(201), as: UTF8.self),
          "is not an object")
      }
      try limits.checkNumbers(in: object.document, below: object.index, element: min(context.element, object.index))
    }
    let metadata: [UInt8]
    if fields.isEmpty, redacted.isEmpty, timeOrigin == .source {
      metadata = object.map { Array($0.rawBytes) } ?? Array("{}".utf8)
    } else {
      metadata = try compose(object, in: context, timeOrigin: timeOrigin)
    }
    if metadata.count > limits.maximumMetadataBytes {
      throw Rejection(
        .tooLarge, field: base?.description ?? "metadata", value: "\(metadata.count) bytes",
        "the event's metadata is longer than \(limits.maximumMetadataBytes) bytes")
    }
    return metadata
  }

  private func compose(_ object: JSONValue?, in context: borrowing MappingContext, timeOrigin: TimeOrigin)
    throws(Rejection) -> [UInt8]
  {
    let document = context.input.document
    var values: [(name: String, value: ResolvedValue)] = []
    for field in fields {
      let value = field.value.evaluate(in: context)
      if value.isNothing { continue }
      if case .node(let index) = value {
        try context.input.limits.checkNumbers(in: document, below: index, element: context.element)
      } else if case .embedded(let embedded) = value {
        try context.input.limits.checkNumbers(in: embedded.document, below: embedded.index, element: 0)
      }
      values.append((field.name, value))
    }
    var writer = JSONWriter()
    writer.beginObject()
    if let object {
      for (name, member) in object.members where !values.contains(where: { $0.name == name }) {
        writer.key(name)
        write(member.index, named: name, of: object.document, to: &writer)
      }
    }
    for (name, value) in values {
      writer.key(name)
      switch value {
      // What a mapping picks by name it means to keep; only what is inside may be personal.
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
    if let name, redacted.contains(name.lowercased()) { return writer.string("[redacted]") }
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

/// Where an event's time comes from.
enum TimeOrigin: String {
  /// The source's own body or headers.
  case source
  /// The message's timestamp property, for want of a time in the body.
  case message
  /// The adapter's clock when it took the message from the queue, for want of any other.
  case received
}
