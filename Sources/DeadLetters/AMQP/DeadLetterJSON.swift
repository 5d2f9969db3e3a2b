public import JourneyAMQP
import AMQPClient
import FoundationEssentials
public import Journey

/// Letters as JSON: a line each in exports, and what tools read.
public enum DeadLetterJSON {
  public enum Body: Sendable {
    case leftOut
    case base64
    /// The text as well, where it is one.
    case base64AndText
  }

  /// - Parameter largestHeaders: headers of more bytes are left out, which is said.
  public static func write(
    _ archived: ArchivedDeadLetter, body: Body, maxHeaderBytes: Int = .max, into json: inout JSONWriter
  ) {
    json.beginObject()
    writeMembers(archived, body: body, maxHeaderBytes: maxHeaderBytes, into: &json)
    json.endObject()
  }

  /// The members of an open object.
  public static func writeMembers(
    _ archived: ArchivedDeadLetter, body: Body, maxHeaderBytes: Int = .max, into json: inout JSONWriter
  ) {
    let deadLetter = archived.deadLetter, message = deadLetter.message
    json.member("id", archived.id.uuidString.lowercased())
    json.member("state", archived.state.rawValue)
    json.member("code", deadLetter.code)
    json.member("reason", deadLetter.reason)
    json.member("field", deadLetter.field)
    json.member("value", deadLetter.value)
    json.member("orgId", deadLetter.orgID?.uuidString.lowercased())
    json.member("source", deadLetter.source)
    json.member("type", deadLetter.type)
    json.member("messageId", message.messageID)
    json.member("firstFailedAt", deadLetter.firstFailedAt.iso8601)
    json.member("failedAt", deadLetter.failedAt.iso8601)
    json.member("receivedAt", archived.receivedAt.iso8601)
    json.member("settledAt", archived.settledAt?.iso8601)
    for (name, number) in [
      ("attempts", deadLetter.attempts), ("sameFailures", archived.sameFailures),
      ("replayCount", deadLetter.replayCount),
      ("bodySize", message.bodySize),
    ] {
      json.key(name)
      json.int(number)
    }
    if let replay = archived.replayID {
      json.key("replayId")
      json.int(replay)
    }
    json.member("causedBy", deadLetter.causedBy?.uuidString.lowercased())
    json.member("exchange", message.exchange)
    json.member("routingKey", message.routingKey)
    json.member("contentType", message.contentType)
    json.key("properties")
    json.raw(message.properties)
    json.key("headers")
    if message.headers.count <= maxHeaderBytes {
      json.raw(message.headers)
    } else {
      json.raw(Array("[]".utf8))
      json.key("headersOmitted")
      json.bool(true)
    }
    if !message.redactedHeaders.isEmpty {
      json.key("redactedHeaders")
      json.beginArray()
      for name in message.redactedHeaders { json.string(name) }
      json.endArray()
    }
    json.member("bodySha256", message.bodyDigest.map(hexadecimal))
    guard body != .leftOut else { return }
    json.member("body", Data(message.body).base64EncodedString())
    if message.body.count < message.bodySize {
      json.key("truncated")
      json.bool(true)
    }
    if body == .base64AndText {
      json.member("bodyText", String(validating: message.body.wholeCharacters(of: message.bodySize), as: UTF8.self))
    }
  }

  /// Reads what `write` has written with its body.
  /// - Parameter redaction: which headers are not kept.
  /// - Throws: `DeadLetterJSONError`, naming the member that is missing or wrong.
  public static func read(_ value: JSONValue, redaction: HeaderRedaction = HeaderRedaction([]))
    throws(DeadLetterJSONError)
    -> ArchivedDeadLetter
  {
    let reader = Reader(value: value)
    guard let body = value["body"]?.string.flatMap({ Data(base64Encoded: $0) }) else {
      throw DeadLetterJSONError("body")
    }
    // The database has laid the JSON out in its own way; written anew it is what the adapter itself would have stored.
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

  /// The headers of an archived message as a person reads them: name, type, value as JSON where it is no text; those
  /// that are not kept with their names.
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

    func text(_ name: String) throws(DeadLetterJSONError) -> String {
      guard let text = value[name]?.string else { throw DeadLetterJSONError(name) }
      return text
    }
    func number(_ name: String) throws(DeadLetterJSONError) -> Int {
      guard let number = value[name]?.int64.flatMap({ Int(exactly: $0) }), number >= 0 else {
        throw DeadLetterJSONError(name)
      }
      return number
    }
    func time(_ name: String) throws(DeadLetterJSONError) -> Timestamp {
      guard let time = value[name]?.string.flatMap({ Timestamp(iso8601: $0) }) else { throw DeadLetterJSONError(name) }
      return time
    }
    /// nil where it is not there.
    func digest(_ name: String) throws(DeadLetterJSONError) -> [UInt8]? {
      guard let text = value[name] else { return nil }
      let digits = Array((text.string ?? "").utf8)
      let bytes = stride(from: 0, to: digits.count - 1, by: 2).compactMap {
        UInt8(String(decoding: digits[$0...($0 + 1)], as: UTF8.self), radix: 16)
      }
      guard digits.count == 64, bytes.count == 32 else { throw DeadLetterJSONError(name) }
      return bytes
    }
    /// nil where it is not there.
    func id(_ name: String) throws(DeadLetterJSONError) -> UUID? {
      guard let text = value[name] else { return nil }
      guard let id = text.string.flatMap({ UUID(uuidString: $0) }) else { throw DeadLetterJSONError(name) }
      return id
    }
  }
}

/// A member of an exported letter that is missing or not what it has to be.
public struct DeadLetterJSONError: Error, Hashable, Sendable, CustomStringConvertible {
  public var description: String
  init(_ member: String) { description = "\(member) is missing or not as an export writes it" }
}

extension [UInt8] {
  /// Without the last bytes where they are the beginning of a character of which a cut has left no more.
  /// - Parameter size: of what it was cut from.
  func wholeCharacters(of size: Int) -> ArraySlice<UInt8> {
    guard count < size else { return self[...] }
    var end = count
    // At most three continuation bytes and the byte that leads them.
    while end > 0, count - end < 3, self[end - 1] & 0xC0 == 0x80 { end -= 1 }
    guard end > 0, self[end - 1] >= 0xC0 else { return self[...] }
    let lead = self[end - 1]
    let length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2
    return count - (end - 1) >= length ? self[...] : self[..<(end - 1)]
  }
}
