import AMQPClient
import FoundationEssentials
import Journey

/// A message ready to be mapped: its source, the organisation from its headers, and the JSON document.
struct MessageForm {
  var source: String
  var orgID: UUID?
  var document: JSONDocument
}

extension InboundDecoder {
  /// Determines the format from the content type; if that is ambiguous, from headers and body. A CloudEvent may be
  /// structured, binary (attributes in headers, any content type), or plain JSON with CloudEvents attributes.
  func form(of properties: MessageProperties, body: [UInt8]) throws(Rejection) -> MessageForm {
    try refuseCompression(properties.contentEncoding, body)
    // A structured content type takes precedence over headers that a relay has added.
    let isStructured = properties.contentType.map { Self.media($0).hasPrefix("application/cloudevents") } ?? false
    if !isStructured, let prefix = BinaryCloudEvent.prefix(of: properties.headers) {
      let event = try BinaryCloudEvent(properties, prefix: prefix).structured(body)
      return MessageForm(source: Self.cloudEvents, orgID: try organization(properties), document: try parse(event))
    }
    var (source, orgID) = try route(properties)
    guard mappings[source] != nil else { throw Self.noMapping(source) }
    let document = try parse(body)
    if source == Self.ownBody, properties.headers.header("x-source") == nil, Self.isCloudEvent(document.root) {
      source = Self.cloudEvents
    }
    return MessageForm(source: source, orgID: orgID, document: document)
  }

  private static func isCloudEvent(_ root: JSONValue) -> Bool {
    let first = root.kind == .array ? root[0] : root
    return first?["specversion"]?.string != nil && first?["type"]?.string != nil
  }

  /// Determines the source from the content type. A CloudEvent names its organisation itself; other bodies need
  /// headers.
  func route(_ properties: MessageProperties) throws(Rejection) -> (source: String, orgID: UUID?) {
    guard let contentType = properties.contentType else {
      throw Rejection(
        .unsupportedContentType, field: "content_type",
        "missing; it must be application/cloudevents+json or application/json")
    }
    // Fast path for the usual spelling.
    if contentType == "application/cloudevents+json" { return (Self.cloudEvents, nil) }
    switch Self.media(contentType) {
    case "application/cloudevents+json", "application/cloudevents-batch+json": return (Self.cloudEvents, nil)
    case "application/json":
      return (properties.headers.header("x-source") ?? Self.ownBody, try organization(properties))
    default:
      throw Rejection(
        .unsupportedContentType, field: "content_type", value: contentType,
        "it must be application/cloudevents+json or application/json")
    }
  }

  private func organization(_ properties: MessageProperties) throws(Rejection) -> UUID? {
    guard let text = properties.headers.header("x-org-id") else { return nil }
    guard let id = UUID(uuidString: text) else {
      throw Rejection(.invalidField, field: "header x-org-id", value: text, "an organization is named by its UUID")
    }
    return id
  }

  static func media(_ contentType: String) -> String { contentType.prefix { $0 != ";" && $0 != " " }.lowercased() }

  /// Rejects only known compressions: some clients put other values into this property (`utf-8`).
  private func refuseCompression(_ encoding: String?, _ body: [UInt8]) throws(Rejection) {
    if let encoding,
      ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "lz4", "snappy", "bzip2"].contains(encoding.lowercased())
    {
      throw Rejection(
        .unsupportedContentType, field: "content_encoding", value: encoding,
        "compressed bodies are not read; publish the body as it is")
    }
    // No JSON text starts with the magic number of gzip.
    if body.starts(with: [0x1F, 0x8B]) {
      throw Rejection(
        .unsupportedContentType, field: "body", "it is compressed with gzip; compressed bodies are not read")
    }
  }

  func parse(_ body: [UInt8]) throws(Rejection) -> JSONDocument {
    do throws(JSONError) {
      return try JSONDocument(parsing: body)
    } catch {
      throw Rejection(
        .malformed, field: error.path.isEmpty ? "body" : error.path, "the body is not valid JSON: \(error)")
    }
  }
}

/// A CloudEvent in binary mode: the body is its data, and the headers are its attributes. Source: CloudEvents 1.0.2,
/// AMQP protocol binding, section 3.1. Relays also pass on `ce-` and `ce_`, the prefixes of the HTTP and Kafka
/// bindings.
struct BinaryCloudEvent {
  private static let prefixes = ["cloudEvents:", "cloudEvents_", "ce-", "ce_"]
  private static let required = ["specversion", "id", "source", "type"]
  private let attributes: [(name: String, text: String)]
  private let contentType: String?

  /// The prefix of the attribute headers; nil if the message is not in binary mode.
  static func prefix(of headers: FieldTable) -> String? {
    for field in headers where field.name.hasSuffix("specversion") {
      let found = prefixes.first {
        field.name.count == $0.count + 11 && field.name.lowercased().hasPrefix($0.lowercased())
      }
      if let found { return found }
    }
    return nil
  }

  init(_ properties: MessageProperties, prefix: String) throws(Rejection) {
    contentType = properties.contentType
    var attributes: [(name: String, text: String)] = []
    for field in properties.headers where field.name.lowercased().hasPrefix(prefix.lowercased()) {
      let header = field.name
      let name = header.dropFirst(prefix.count).lowercased()
      guard let text = field.value.attributeText else {
        throw Rejection(
          .invalidField, field: "header \(header)",
          "an attribute of a CloudEvent is a text, a number, a truth value or a time")
      }
      guard name != "data", name != "data_base64", !attributes.contains(where: { $0.name == name }) else {
        throw Rejection(
          .invalidField, field: "header \(header)", "it is repeated or reserved; the body is the data of the event")
      }
      attributes.append((name, text))
    }
    for name in Self.required where !attributes.contains(where: { $0.name == name && !$0.text.isEmpty }) {
      throw Rejection(.missingField, field: "header \(prefix)\(name)", "a CloudEvent in binary mode has this header")
    }
    self.attributes = attributes
  }

  /// The same event in structured JSON.
  func structured(_ body: [UInt8]) throws(Rejection) -> [UInt8] {
    var json = JSONWriter(reservingCapacity: body.count + 512)
    json.beginObject()
    for (name, text) in attributes where name != "datacontenttype" { json.member(name, text) }
    json.member("datacontenttype", contentType)
    if !body.isEmpty {
      let media = contentType.map(InboundDecoder.media) ?? "application/json"
      guard media == "application/json" || media == "text/json" || media.hasSuffix("+json") else {
        throw Rejection(
          .unsupportedContentType, field: "content_type", value: contentType,
          "the data of a CloudEvent in binary mode must be JSON")
      }
      do throws(JSONError) {
        _ = try JSONDocument(parsing: body)
      } catch {
        throw Rejection(
          .malformed, field: error.path.isEmpty ? "body" : error.path, "the body is not valid JSON: \(error)")
      }
      json.key("data")
      json.raw(body)
    }
    json.endObject()
    return json.bytes
  }
}

extension FieldValue {
  /// The header as text; some clients send text as bytes.
  var headerText: String? {
    switch self {
    case .string(let text): text
    case .int(let number): String(number)
    case .bytes(let bytes): String(validating: bytes, as: UTF8.self)
    default: nil
    }
  }

  /// A boolean as text.
  var flagText: String? { if case .bool(let value) = self { value ? "true" : "false" } else { nil } }

  fileprivate var attributeText: String? {
    switch self {
    case .bool: flagText
    case .timestamp(let seconds): Timestamp(propertySeconds: seconds)?.iso8601
    default: headerText
    }
  }
}

extension Timestamp {
  /// Reads AMQP's timestamp property. It counts seconds, but some clients send milliseconds, which as seconds would be
  /// beyond the year 9999. Nil for other values.
  init?(propertySeconds value: Int64) {
    switch value {
    case -62_135_596_800...253_402_300_799: self.init(seconds: value)
    case 253_402_300_800...253_402_300_799_999: self.init(microseconds: value * 1000)
    default: return nil
    }
  }
}
