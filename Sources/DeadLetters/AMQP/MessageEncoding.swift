import AMQPClient
import FoundationEssentials
import Journey

/// Encodes headers and properties as JSON without loss, so that a replay sends what was archived.
///
/// A header is `{"name": "x-source", "type": "string", "value": "stripe"}`. Texts that JSON in a database cannot hold
/// (U+0000) and bytes are written as `"base64"` instead of `"value"`, doubles as text, so that every bit pattern but a
/// NaN's payload comes back.
enum MessageEncoding {
  static func json(_ headers: FieldTable) -> [UInt8] { encodeJSON(fields(headers)) }

  static func json(_ properties: MessageProperties) -> [UInt8] {
    let members = texts.map { name, path in Member(name, properties[keyPath: path].map(text)) }
    return encodeJSON(
      JSONObject(
        members + [
          ("deliveryMode", properties.isPersistent ? 2 : 1), ("priority", properties.priority),
          ("timestamp", properties.timestamp),
        ]))
  }

  /// - Returns: nil if the JSON is not in this form.
  static func properties(_ properties: [UInt8], headers: [UInt8]) -> MessageProperties? {
    guard let root = document(properties), root.kind == .object, let table = document(headers).flatMap(table) else {
      return nil
    }
    var result = MessageProperties(headers: table)
    for (name, path) in texts {
      guard let value = root[name], !value.isNull else { continue }
      guard let text = text(value) else { return nil }
      result[keyPath: path] = text
    }
    result.isPersistent = root["deliveryMode"]?.int64 != 1
    result.priority = root["priority"]?.int64.flatMap { UInt8(exactly: $0) }
    result.timestamp = root["timestamp"]?.int64
    return result
  }

  /// - Returns: nil if the JSON is not in this form.
  static func headers(_ bytes: [UInt8]) -> FieldTable? { document(bytes).flatMap(table) }

  private static let texts: [(String, any WritableKeyPath<MessageProperties, String?> & Sendable)] = [
    ("contentType", \.contentType), ("contentEncoding", \.contentEncoding), ("correlationId", \.correlationID),
    ("replyTo", \.replyTo),
    ("expiration", \.expiration), ("messageId", \.messageID), ("type", \.type), ("userId", \.userID),
    ("appId", \.appID),
  ]

  private static func document(_ bytes: [UInt8]) -> JSONValue? {
    try? JSONDocument(parsing: bytes, limits: JSONLimits(maxDepth: 256, maxBytes: 64 << 20)).root
  }

  // MARK: Writing

  private typealias Member = (String, (any Encodable)?)

  private static func fields(_ table: FieldTable) -> [JSONObject] {
    table.fields.map { JSONObject([("name", text($0.name))] + members($0.value)) }
  }

  /// The members `type` and `value` or `base64`.
  private static func members(_ value: FieldValue) -> [Member] {
    func member(_ type: String, _ value: any Encodable) -> [Member] { [("type", type), ("value", value)] }
    switch value {
    case .void: return [("type", "void")]
    case .bool(let bool): return member("bool", bool)
    case .int(let number): return member("int", number)
    case .timestamp(let number): return member("timestamp", number)
    case .double(let number): return member("double", "\(number)")
    case .string(let text) where text.utf8.contains(0):
      return [("type", "string"), ("base64", base64(Array(text.utf8)))]
    case .string(let text): return member("string", text)
    case .bytes(let bytes): return [("type", "bytes"), ("base64", base64(bytes))]
    case .decimal(let scale, let number): return member("decimal", ["scale": scale, "value": number] as JSONObject)
    case .array(let values): return member("array", values.map { JSONObject(members($0)) })
    case .table(let table): return member("table", fields(table))
    }
  }

  private static func text(_ text: String) -> any Encodable {
    text.utf8.contains(0) ? ["base64": base64(Array(text.utf8))] as JSONObject : text
  }

  private static func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

  // MARK: Reading

  private static func table(_ value: JSONValue) -> FieldTable? {
    guard value.kind == .array else { return nil }
    var fields: [FieldTable.Field] = []
    for element in value.elements {
      guard let name = element["name"].flatMap(text), let value = field(element) else { return nil }
      fields.append(FieldTable.Field(name, value))
    }
    return FieldTable(fields)
  }

  private static func field(_ element: JSONValue) -> FieldValue? {
    let value = element["value"]
    switch element["type"]?.string {
    case "void": return .void
    case "bool": return value?.bool.map { .bool($0) }
    case "int": return value?.int64.map { .int($0) }
    case "timestamp": return value?.int64.map { .timestamp($0) }
    case "double": return value?.string.flatMap { Double($0) }.map { .double($0) }
    case "string":
      if let text = value?.string { return .string(text) }
      return bytes(element).map { .string(String(decoding: $0, as: UTF8.self)) }
    case "bytes": return bytes(element).map { .bytes($0) }
    case "decimal":
      guard let scale = value?["scale"]?.int64.flatMap({ UInt8(exactly: $0) }),
        let number = value?["value"]?.int64.flatMap({ Int32(exactly: $0) })
      else { return nil }
      return .decimal(scale: scale, value: number)
    case "array":
      guard let value, value.kind == .array else { return nil }
      var values: [FieldValue] = []
      for element in value.elements {
        guard let field = field(element) else { return nil }
        values.append(field)
      }
      return .array(values)
    case "table": return value.flatMap(table).map { .table($0) }
    default: return nil
    }
  }

  private static func text(_ value: JSONValue) -> String? {
    value.string ?? bytes(value).map { String(decoding: $0, as: UTF8.self) }
  }

  private static func bytes(_ value: JSONValue) -> [UInt8]? {
    value["base64"]?.string.flatMap { Data(base64Encoded: $0) }.map { Array($0) }
  }
}
