public import JourneyAMQP
import AMQPClient
import FoundationEssentials
public import Journey

/// A dead letter as JSON, for exports and tools.
public struct DeadLetterJSON: Encodable {
  public enum Body: Sendable {
    case omitted
    case base64
    /// The body as text, too, if it is text.
    case base64AndText
  }

  private let archived: ArchivedDeadLetter
  private let body: Body
  private let maxHeaderBytes: Int

  /// - Parameter maxHeaderBytes: larger headers are omitted, and `headersOmitted` says so.
  public init(_ archived: ArchivedDeadLetter, body: Body, maxHeaderBytes: Int = .max) {
    self.archived = archived
    self.body = body
    self.maxHeaderBytes = maxHeaderBytes
  }

  public func encode(to encoder: any Encoder) throws { try object.encode(to: encoder) }

  private var object: JSONObject {
    let deadLetter = archived.deadLetter, message = deadLetter.message
    let omitsHeaders = message.headers.count > maxHeaderBytes, omitsBody = body == .omitted
    let text =
      body == .base64AndText
      ? String(validating: message.body.wholeCharacters(of: message.bodySize), as: UTF8.self) : nil
    return [
      "id": archived.id, "state": archived.state.rawValue, "code": deadLetter.code, "reason": deadLetter.reason,
      "field": deadLetter.field, "value": deadLetter.value, "orgId": deadLetter.orgID, "source": deadLetter.source,
      "type": deadLetter.type, "messageId": message.messageID, "firstFailedAt": deadLetter.firstFailedAt,
      "failedAt": deadLetter.failedAt, "receivedAt": archived.receivedAt, "settledAt": archived.settledAt,
      "attempts": deadLetter.attempts, "sameFailures": archived.sameFailures, "replayCount": deadLetter.replayCount,
      "bodySize": message.bodySize, "replayId": archived.replayID, "causedBy": deadLetter.causedBy,
      "exchange": message.exchange, "routingKey": message.routingKey, "contentType": message.contentType,
      "properties": RawJSON(message.properties),
      "headers": RawJSON(omitsHeaders ? Array("[]".utf8) : message.headers),
      "headersOmitted": omitsHeaders ? true : nil,
      "redactedHeaders": message.redactedHeaders.isEmpty ? nil : message.redactedHeaders,
      "bodySha256": message.bodyDigest.map(Self.hexadecimal),
      "body": omitsBody ? nil : Data(message.body).base64EncodedString(),
      "truncated": !omitsBody && message.body.count < message.bodySize ? true : nil, "bodyText": text,
    ]
  }

  /// Reads what was encoded with its body.
  /// - Parameter redaction: which headers are dropped.
  /// - Throws: `DeadLetterJSONError`, naming the member that is missing or wrong.
  public static func read(_ value: JSONValue, redaction: HeaderRedaction = HeaderRedaction([]))
    throws(DeadLetterJSONError)
    -> ArchivedDeadLetter
  {
    let reader = Reader(value: value)
    guard let body = value["body"]?.string.flatMap({ Data(base64Encoded: $0) }) else {
      throw DeadLetterJSONError("body")
    }
    // The database has its own layout of JSON; encoded again it is what the adapter itself would have stored.
    guard let properties = value["properties"], let headers = value["headers"],
      let decoded = MessageEncoding.properties(Array(properties.rawBytes), headers: Array(headers.rawBytes))
    else { throw DeadLetterJSONError("properties or headers") }
    let (kept, redacted) = redaction.apply(to: decoded.headers)
    let message = OriginalMessage(
      exchange: try reader.text("exchange"), routingKey: try reader.text("routingKey"),
      messageID: value["messageId"]?.string,
      contentType: value["contentType"]?.string, properties: MessageEncoding.json(decoded),
      headers: MessageEncoding.json(kept),
      redactedHeaders: (value["redactedHeaders"]?.elements.compactMap(\.string) ?? []) + redacted, body: Array(body),
      bodySize: try reader.number("bodySize"),
      bodyDigest: try reader.digest("bodySha256"))
    guard message.body.count == message.bodySize || message.isCut && message.body.count < message.bodySize else {
      throw DeadLetterJSONError("bodySize")
    }
    let deadLetter = DeadLetter(
      message: message, orgID: try reader.id("orgId"), source: value["source"]?.string, type: value["type"]?.string,
      code: try reader.text("code"), reason: try reader.text("reason"), field: value["field"]?.string,
      value: value["value"]?.string,
      attempts: try reader.number("attempts"), firstFailedAt: try reader.time("firstFailedAt"),
      failedAt: try reader.time("failedAt"),
      replayCount: try reader.number("replayCount"), causedBy: try reader.id("causedBy"))
    guard let id = try reader.id("id") else { throw DeadLetterJSONError("id") }
    guard let state = DeadLetterState(rawValue: try reader.text("state")) else { throw DeadLetterJSONError("state") }
    return ArchivedDeadLetter(
      id: id, deadLetter: deadLetter, state: state, sameFailures: try reader.number("sameFailures"),
      receivedAt: try reader.time("receivedAt"),
      settledAt: value["settledAt"] == nil ? nil : try reader.time("settledAt"), replayID: nil)
  }

  /// The headers of an archived message for display: name, type, and value, as JSON if it is not text. Of redacted
  /// headers only the name is left.
  public static func headers(of message: OriginalMessage) -> [(name: String, type: String, value: String)] {
    guard let document = try? JSONDocument(parsing: message.headers) else { return [] }
    return document.root.elements.map { element in
      let value = element["value"] ?? element["base64"]
      return (
        element["name"]?.text ?? "", element["type"]?.string ?? "",
        value.map { $0.text ?? String(decoding: $0.rawBytes, as: UTF8.self) } ?? ""
      )
    } + message.redactedHeaders.map { ($0, "redacted", "") }
  }

  public static func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  private struct Reader {
    let value: JSONValue

    func required<Value>(_ name: String, _ read: (JSONValue) -> Value?) throws(DeadLetterJSONError) -> Value {
      guard let found = value[name].flatMap(read) else { throw DeadLetterJSONError(name) }
      return found
    }
    func optional<Value>(_ name: String, _ read: (JSONValue) -> Value?) throws(DeadLetterJSONError) -> Value? {
      value[name] == nil ? nil : try required(name, read)
    }

    func text(_ name: String) throws(DeadLetterJSONError) -> String { try required(name, \.string) }
    func number(_ name: String) throws(DeadLetterJSONError) -> Int {
      Int(try required(name) { $0.int64.flatMap { $0 >= 0 ? $0 : nil } })
    }
    func time(_ name: String) throws(DeadLetterJSONError) -> Timestamp {
      try required(name) { $0.string.flatMap { Timestamp(iso8601: $0) } }
    }
    func id(_ name: String) throws(DeadLetterJSONError) -> UUID? {
      try optional(name) { $0.string.flatMap { UUID(uuidString: $0) } }
    }
    func digest(_ name: String) throws(DeadLetterJSONError) -> [UInt8]? {
      try optional(name) { value in
        let digits = Array((value.string ?? "").utf8)
        let bytes = stride(from: 0, to: digits.count - 1, by: 2).compactMap {
          UInt8(String(decoding: digits[$0...($0 + 1)], as: UTF8.self), radix: 16)
        }
        return digits.count == 64 && bytes.count == 32 ? bytes : nil
      }
    }
  }
}

/// A member of an exported dead letter that is missing or invalid.
public struct DeadLetterJSONError: Error, Hashable, Sendable, CustomStringConvertible {
  public var description: String
  init(_ member: String) { description = "\(member) is missing or not as an export writes it" }
}

extension [UInt8] {
  /// Without an incomplete character at the end, if this is the beginning of a longer text.
  /// - Parameter size: the size of the whole text.
  package func wholeCharacters(of size: Int) -> ArraySlice<UInt8> {
    guard count < size else { return self[...] }
    var end = count
    // At most three continuation bytes follow a lead byte.
    while end > 0, count - end < 3, self[end - 1] & 0xC0 == 0x80 { end -= 1 }
    guard end > 0, self[end - 1] >= 0xC0 else { return self[...] }
    let lead = self[end - 1]
    let length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2
    return count - (end - 1) >= length ? self[...] : self[..<(end - 1)]
  }
}
