import AMQPClient
import FoundationEssentials
public import Journey
public import JourneyPipeline

/// Letters as JSON: a line each in exports, and what tools read.
public enum LetterJSON {
  public enum Body: Sendable {
    case leftOut
    case base64
  }

  public static func write(_ archived: ArchivedLetter, body: Body, into json: inout JSONWriter) {
    json.beginObject()
    writeMembers(archived, body: body, into: &json)
    json.endObject()
  }

  /// The members of an open object.
  public static func writeMembers(_ archived: ArchivedLetter, body: Body, into json: inout JSONWriter) {
    let letter = archived.letter, message = letter.message
    json.member("id", archived.id.uuidString.lowercased())
    json.member("state", archived.state.rawValue)
    json.member("code", letter.code)
    json.member("reason", letter.reason)
    json.member("field", letter.field)
    json.member("value", letter.value)
    json.member("orgId", letter.orgID?.uuidString.lowercased())
    json.member("source", letter.source)
    json.member("type", letter.type)
    json.member("messageId", message.messageID)
    json.member("firstFailedAt", letter.firstFailedAt.iso8601)
    json.member("failedAt", letter.failedAt.iso8601)
    json.member("receivedAt", archived.receivedAt.iso8601)
    json.member("settledAt", archived.settledAt?.iso8601)
    for (name, number) in [
      ("attempts", letter.attempts), ("sameFailures", archived.sameFailures), ("replayCount", letter.replayCount),
      ("bodySize", message.bodySize),
    ] {
      json.key(name)
      json.int(number)
    }
    if let replay = archived.replayID {
      json.key("replayId")
      json.int(replay)
    }
    json.member("causedBy", letter.causedBy?.uuidString.lowercased())
    json.member("exchange", message.exchange)
    json.member("routingKey", message.routingKey)
    json.member("contentType", message.contentType)
    json.key("properties")
    json.raw(message.properties)
    json.key("headers")
    json.raw(message.headers)
    if case .base64 = body { json.member("body", Data(message.body).base64EncodedString()) }
  }

  /// Reads what `write` has written with its body.
  /// - Throws: `LetterJSONError`, naming the member that is missing or wrong.
  public static func read(_ value: JSONValue) throws(LetterJSONError) -> ArchivedLetter {
    let reader = Reader(value: value)
    guard let body = value["body"]?.string.flatMap({ Data(base64Encoded: $0) }) else { throw LetterJSONError("body") }
    // The database has laid the JSON out in its own way; written anew it is what the adapter itself would have stored.
    guard let properties = value["properties"], let headers = value["headers"],
      let decoded = MessageEncoding.properties(Array(properties.rawBytes), headers: Array(headers.rawBytes))
    else { throw LetterJSONError("properties or headers") }
    let message = OriginalMessage(
      exchange: try reader.text("exchange"), routingKey: try reader.text("routingKey"), messageID: value["messageId"]?.string,
      contentType: value["contentType"]?.string, properties: MessageEncoding.json(decoded), headers: MessageEncoding.json(decoded.headers),
      body: Array(body), bodySize: try reader.number("bodySize"))
    let letter = Letter(
      message: message, orgID: try reader.id("orgId"), source: value["source"]?.string, type: value["type"]?.string,
      code: try reader.text("code"), reason: try reader.text("reason"), field: value["field"]?.string, value: value["value"]?.string,
      attempts: try reader.number("attempts"), firstFailedAt: try reader.time("firstFailedAt"), failedAt: try reader.time("failedAt"),
      replayCount: try reader.number("replayCount"), causedBy: try reader.id("causedBy"))
    guard let id = try reader.id("id") else { throw LetterJSONError("id") }
    guard let state = LetterState(rawValue: try reader.text("state")) else { throw LetterJSONError("state") }
    return ArchivedLetter(
      id: id, letter: letter, state: state, sameFailures: try reader.number("sameFailures"), receivedAt: try reader.time("receivedAt"),
      settledAt: value["settledAt"] == nil ? nil : try reader.time("settledAt"), replayID: nil)
  }

  /// The headers of an archived message as a person reads them: name, type, value as JSON where it is no text.
  public static func headers(of message: OriginalMessage) -> [(name: String, type: String, value: String)] {
    guard let document = try? JSONDocument(parsing: message.headers) else { return [] }
    return document.root.elements.map { element in
      let value = element["value"] ?? element["base64"]
      return (
        element["name"]?.text ?? "", element["type"]?.string ?? "",
        value.map { $0.text ?? String(decoding: $0.rawBytes, as: UTF8.self) } ?? ""
      )
    }
  }

  private struct Reader {
    let value: JSONValue

    func text(_ name: String) throws(LetterJSONError) -> String {
      guard let text = value[name]?.string else { throw LetterJSONError(name) }
      return text
    }
    func number(_ name: String) throws(LetterJSONError) -> Int {
      guard let number = value[name]?.int64.flatMap({ Int(exactly: $0) }), number >= 0 else { throw LetterJSONError(name) }
      return number
    }
    func time(_ name: String) throws(LetterJSONError) -> Timestamp {
      guard let time = value[name]?.string.flatMap({ Timestamp(iso8601: $0) }) else { throw LetterJSONError(name) }
      return time
    }
    /// nil where it is not there.
    func id(_ name: String) throws(LetterJSONError) -> UUID? {
      guard let text = value[name] else { return nil }
      guard let id = text.string.flatMap({ UUID(uuidString: $0) }) else { throw LetterJSONError(name) }
      return id
    }
  }
}

/// A member of an exported letter that is missing or not what it has to be.
public struct LetterJSONError: Error, Hashable, Sendable, CustomStringConvertible {
  public var description: String
  init(_ member: String) { description = "\(member) is missing or not as an export writes it" }
}
