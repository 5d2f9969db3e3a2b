/// The exact encoded size of properties, computed before publishing.
///
/// The library detects properties that exceed a frame only after it sent the method frame, when the channel can no
/// longer be used, and it truncates long names silently. So both are checked before.
enum PropertySize {
  static let maxNesting = 32

  /// The size in bytes of the content header's property list.
  ///
  /// - Throws: `tooLarge` for a text of more than 255 bytes or more than 32 levels of nesting.
  static func of(_ properties: MessageProperties) throws(AMQPError) -> Int {
    var size = 2 + 1  // flags, delivery mode
    size += try short(properties.contentType, "content type")
    size += try short(properties.contentEncoding, "content encoding")
    size += try short(properties.correlationID, "correlation id")
    size += try short(properties.replyTo, "reply-to")
    size += try short(properties.expiration, "expiration")
    size += try short(properties.messageID, "message id")
    size += try short(properties.type, "type")
    size += try short(properties.userID, "user id")
    size += try short(properties.appID, "app id")
    if properties.priority != nil { size += 1 }
    if properties.timestamp != nil { size += 8 }
    if !properties.headers.isEmpty { size += try table(properties.headers, depth: 1) }
    return size
  }

  static func table(_ table: FieldTable, depth: Int) throws(AMQPError) -> Int {
    guard depth <= maxNesting else { throw tooLarge("headers are nested deeper than \(maxNesting) levels") }
    var size = 4
    for field in table.fields {
      let name = field.name.utf8.count
      guard name <= 255 else { throw tooLarge("a header's name has \(name) bytes; AMQP allows 255") }
      size += 1 + name + (try value(field.value, depth: depth))
    }
    return size
  }

  private static func value(_ value: FieldValue, depth: Int) throws(AMQPError) -> Int {
    switch value {
    case .void: return 1
    case .bool: return 2
    case .decimal: return 6
    case .int, .double, .timestamp: return 9
    case .string(let text): return 5 + text.utf8.count
    case .bytes(let bytes): return 5 + bytes.count
    case .table(let table): return 1 + (try self.table(table, depth: depth + 1))
    case .array(let values):
      guard depth < maxNesting else { throw tooLarge("headers are nested deeper than \(maxNesting) levels") }
      var size = 5
      for element in values { size += try self.value(element, depth: depth + 1) }
      return size
    }
  }

  static func short(_ text: String?, _ part: String) throws(AMQPError) -> Int {
    guard let text else { return 0 }
    let size = text.utf8.count
    guard size <= 255 else { throw tooLarge("the \(part) has \(size) bytes; AMQP allows 255") }
    return 1 + size
  }

  static func tooLarge(_ message: String) -> AMQPError {
    AMQPError(.tooLarge, operation: "publish", message: message)
  }
}
