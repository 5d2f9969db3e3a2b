import TestSupport
import DeadLetters
import AMQPClient
import FoundationEssentials
import Journey
import Testing

@testable import DeadLetters
@testable import JourneyAMQP

@Suite struct MessageEncodingTests {
  private let everything: FieldTable = FieldTable([
    .init("text", "stripe"), .init("nul", .string("a\u{0}b")), .init("quote", .string("\" \\ \u{1F600} \u{85}")),
    .init("flag", true),
    .init("big", .int(.max)),
    .init("small", .int(.min)), .init("tenth", .double(0.1)), .init("minus zero", .double(-0.0)),
    .init("most", .double(.greatestFiniteMagnitude)),
    .init("least", .double(.leastNonzeroMagnitude)), .init("infinite", .double(-.infinity)),
    .init("bytes", .bytes([0, 255, 128, 10])),
    .init("none", .bytes([])),
    .init("when", .timestamp(-1)), .init("price", .decimal(scale: 2, value: -1999)), .init("nothing", .void),
    .init("list", .array([1, "two", .array([.void, .bytes([1])]), .table(["k": .double(2)])])),
    .init("table", .table(["a": .table(["b": 1]), "c": ""])),
    .init("twice", 1), .init("twice", "again"), .init("na\u{0}me", 1), .init("", ""),
  ])

  @Test func headersComeBackAsTheyWere() throws {
    let back = try #require(MessageEncoding.headers(MessageEncoding.json(everything)))
    #expect(back == everything)
    // -0.0 == 0.0, so equality does not tell.
    #expect(
      back["minus zero"].map { if case .double(let number) = $0 { number.sign == .minus } else { false } } == true)
  }

  @Test func notANumberStaysNotANumber() throws {
    let back = try #require(MessageEncoding.headers(MessageEncoding.json(["nan": .double(.nan)])))
    guard case .double(let number)? = back["nan"] else { throw DeadLetterJSONErrorInTest() }
    #expect(number.isNaN)
  }

  private struct DeadLetterJSONErrorInTest: Error {}

  @Test func randomTablesComeBack() throws {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<300 {
      let table = Self.table(depth: 0, &random)
      #expect(MessageEncoding.headers(MessageEncoding.json(table)) == table)
    }
  }

  @Test func propertiesComeBackAsTheyWere() throws {
    let full = MessageProperties(
      contentType: "application/json", contentEncoding: "gzip", headers: everything, isPersistent: false, priority: 255,
      correlationID: "c",
      replyTo: "r", expiration: "60000", messageID: "m\u{0}", timestamp: .min, type: "", userID: "u", appID: "a")
    #expect(MessageEncoding.properties(MessageEncoding.json(full), headers: MessageEncoding.json(full.headers)) == full)
    let empty = MessageProperties()
    #expect(
      MessageEncoding.properties(MessageEncoding.json(empty), headers: MessageEncoding.json(empty.headers)) == empty)
  }

  @Test(arguments: [
    "{}", "[1]", #"[{"name":"a"}]"#, #"[{"name":"a","type":"int","value":1.5}]"#,
    #"[{"name":"a","type":"int","value":99999999999999999999}]"#,
    #"[{"name":"a","type":"bytes","base64":"%"}]"#, #"[{"name":"a","type":"decimal","value":{"scale":256,"value":1}}]"#,
    #"[{"name":"a","type":"strange","value":1}]"#, #"[{"type":"void"}]"#, "",
  ])
  func whatIsNotInThisFormIsRefused(json: String) {
    #expect(MessageEncoding.headers(Array(json.utf8)) == nil)
  }

  private static func table(depth: Int, _ random: inout SystemRandomNumberGenerator) -> FieldTable {
    FieldTable((0..<Int.random(in: 0...4, using: &random)).map { .init("h\($0)", value(depth: depth, &random)) })
  }

  private static func value(depth: Int, _ random: inout SystemRandomNumberGenerator) -> FieldValue {
    switch Int.random(in: 0...(depth > 5 ? 6 : 8), using: &random) {
    case 0: .bool(.random(using: &random))
    case 1: .int(.random(in: .min ... .max, using: &random))
    case 2:
      .double(
        Double(
          sign: .minus, exponent: .random(in: -1000...1000, using: &random),
          significand: .random(in: 1..<2, using: &random)))
    case 3:
      .string(
        String(String.UnicodeScalarView((0..<6).map { _ in Unicode.Scalar(UInt8.random(in: 0...255, using: &random)) }))
      )
    case 4: .bytes((0..<9).map { _ in .random(in: 0...255, using: &random) })
    case 5: .timestamp(.random(in: .min ... .max, using: &random))
    case 6: .decimal(scale: .random(in: 0...255, using: &random), value: .random(in: .min ... .max, using: &random))
    case 7: .array((0..<3).map { _ in value(depth: depth + 1, &random) })
    default: .table(table(depth: depth + 1, &random))
    }
  }
}

@Suite struct DeadLetterJSONTests {
  static func deadLetter(body: [UInt8] = Array("{}".utf8)) -> ArchivedDeadLetter {
    let properties = MessageProperties(contentType: "application/json", messageID: "m")
    let message = OriginalMessage(
      exchange: "journey.events", routingKey: "a.b", messageID: "m", contentType: "application/json",
      properties: MessageEncoding.json(properties),
      headers: MessageEncoding.json(["x": .bytes([0, 1]), "n": 7]), body: body, bodySize: body.count)
    let deadLetter = DeadLetter(
      message: message, orgID: UUID(uuidString: org), source: "stripe", type: "t", code: "unknown_type", reason: "why",
      field: "f",
      value: "v",
      attempts: 3, firstFailedAt: Timestamp(microseconds: 1_000_001), failedAt: Timestamp(seconds: 9), replayCount: 2,
      causedBy: UUID())
    return ArchivedDeadLetter(
      id: UUID(), deadLetter: deadLetter, state: .discarded, sameFailures: 2, receivedAt: Timestamp(seconds: 10),
      settledAt: Timestamp(seconds: 11),
      replayID: nil)
  }

  private func roundTrip(_ deadLetter: ArchivedDeadLetter) throws -> ArchivedDeadLetter {
    let json = encodeJSON(DeadLetterJSON(deadLetter, body: .base64))
    return try DeadLetterJSON.read(try JSONDocument(parsing: json).root)
  }

  @Test func anExportedDeadLetterComesBackWhole() throws {
    let deadLetter = Self.deadLetter(body: (0...255).map { UInt8($0) })
    #expect(try roundTrip(deadLetter) == deadLetter)
    var bare = Self.deadLetter()
    bare.deadLetter.orgID = nil
    bare.deadLetter.source = nil
    bare.deadLetter.field = nil
    bare.deadLetter.value = nil
    bare.deadLetter.causedBy = nil
    bare.settledAt = nil
    #expect(try roundTrip(bare) == bare)
  }

  @Test func headersLaidOutByADatabaseMakeTheSameDeadLetter() throws {
    var deadLetter = Self.deadLetter()
    let stored = deadLetter.deadLetter.message.headers
    deadLetter.deadLetter.message.headers = Array(
      #"[ { "type": "bytes", "name": "x", "base64": "AAE=" }, {"name": "n", "type": "int", "value": 7} ]"#.utf8)
    #expect(try roundTrip(deadLetter).deadLetter.message.headers == stored)
  }

  @Test(arguments: ["id", "state", "code", "body", "bodySize", "headers", "properties", "failedAt", "exchange"])
  func whatIsMissingIsNamed(member: String) throws {
    let json = encodeJSON(DeadLetterJSON(Self.deadLetter(), body: .base64))
    let patched = try JSONPatch(parsing: Array(#"{"op":"remove","path":"/\#(member)"}"#.utf8)).applied(to: json)
    let error = #expect(throws: DeadLetterJSONError.self) {
      try DeadLetterJSON.read(try JSONDocument(parsing: patched).root)
    }
    #expect(error?.description.contains(member) == true)
  }
}
