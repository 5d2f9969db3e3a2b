import TestSupport
import AMQPClient
import FoundationEssentials
import Journey
import JourneyConfiguration
import Testing

@testable import JourneyAMQP

/// Messages as they are kept.
@Suite struct RawMessageTests {
  private static let secrets = HeaderRedaction(["authorization", "*token*"])

  private func message(
    _ delivery: Delivery, by mappings: LiveMappings
  ) -> (message: InboundMessage, decoder: InboundDecoder) {
    let decoder = InboundDecoder(live: mappings, signals: SignalRules(), clock: SystemClock())
    var random = IDRandom()
    let decoded = decoder.decode(delivery, random: &random)
    let message = InboundMessage(
      token: .test(1), events: decoded.events, rejections: decoded.rejections, delivery: delivery,
      origin: decoded.origin)
    return (message, decoder)
  }

  private func mappings(_ envelope: String = "") throws -> LiveMappings {
    let yaml = """
      source: crm
      version: 1
      envelope:
        id: [$.id]
        type: $.type
        time: ["property:received"]
        client: {from: [$.client], email: $.mail}
        org: "header:x-org-id"
        metadata: $
        \(envelope)
      rules:
        - {name: renewal, when: {type: note, path: $.form.name, matches: "(?i)renew"}, event: {type: note_added, stage: retention}}
        - {name: note, when: {type: note}, event: {type: note_added, stage: keep}}
      """
    return LiveMappings(["crm": try MappingLoader.load(yaml: yaml, file: "crm.yaml")])
  }

  private func sent(_ body: String, _ headers: FieldTable = [:]) -> Delivery {
    var properties = MessageProperties(
      contentType: "application/json", headers: ["x-source": "crm", "x-org-id": .string(org)], messageID: "m-1",
      timestamp: 1_763_546_400, type: "note", userID: "relay", appID: "app")
    for field in headers { properties.headers[field.name] = field.value }
    return Delivery(
      tag: DeliveryTag(generation: 3, value: 9), exchange: "journey.events", routingKey: "crm.note",
      isRedelivered: false, properties: properties, body: Array(body.utf8))
  }

  @Test func itIsMappedAgainAsItWas() throws {
    let mappings = try mappings()
    let delivery = sent(
      #"{ "type": "note", "id": "n1", "client": "c1", "big": 12345678901234567890.10 }"#,
      ["Authorization": "Bearer x", "x-api-Token": "t", "x-number": 7, "x-flag": true, "x-bytes": .bytes([1, 2])])
    let (message, decoder) = message(delivery, by: mappings)
    var buffer: [UInt8] = [1, 2, 3]
    #expect(RawMessageForm(mappings: mappings, redaction: Self.secrets).append(message, to: &buffer))
    let raw = try #require(RawMessage(buffer[3...]))
    #expect(raw.delivery.body == delivery.body)
    #expect(!raw.isRedacted)
    let names = raw.delivery.properties.headers.map(\.name)
    #expect(names == ["x-source", "x-org-id", "x-number", "x-flag", "x-bytes"])
    #expect(raw.delivery.properties.userID == "relay" && raw.delivery.properties.timestamp == 1_763_546_400)
    var random = IDRandom()
    let again = decoder.remap(raw, random: &random)
    // Also the time, which the message does not have: it is when it was received.
    #expect(again.events.map(\.event) == message.events.map(\.event))
    #expect(again.rejections.isEmpty && message.events.count == 1)
    #expect(!String(decoding: buffer, as: UTF8.self).contains("Bearer"))
  }

  @Test func whatTheMappingRedactsIsNotKept() throws {
    let mappings = try mappings("redact: [mail, email, name]")
    let (message, decoder) = message(
      sent(
        #"""
        {"type": "note", "id": "n1", "client": "c1", "mail": "ada@example.com", "form": {"name": "Renewal"},
         "who": {"Email": "ada@example.com", "name": {"first": "ada"}}}
        """#), by: mappings)
    var buffer: [UInt8] = []
    #expect(RawMessageForm(mappings: mappings, redaction: Self.secrets).append(message, to: &buffer))
    #expect(!String(decoding: buffer, as: UTF8.self).contains("ada"))
    let raw = try #require(RawMessage(buffer[...]))
    #expect(raw.isRedacted)
    var random = IDRandom()
    // A rule reads the form's name, so it stays in the body: the same rule takes the message again.
    let again = decoder.remap(raw, random: &random).events.map(\.event)
    #expect(again == message.events.map(\.event) && again.map(\.stage) == [.retention])
    let mapping = try #require(mappings.current["crm"])
    #expect(!BodyRedaction.hides(from: mapping, in: raw.delivery.body))
    let other = try self.mappings("source: $.who.Email")
    #expect(BodyRedaction.hides(from: try #require(other.current["crm"]), in: raw.delivery.body))
  }

  @Test(arguments: [
    ("stripe", #"{"id":"evt_1","data":{"object":{"id":"pi_1","client_secret":"hidden","status":"succeeded"}}}"#),
    ("stripe", #"{"id":"evt_1","data":{"object":{"confirmation_secret":{"client_secret":"hidden","type":"x"}}}}"#),
    ("paddle", #"{"event_type":"client_token.created","data":{"id":"ctkn_1","token":"hidden"}}"#),
    ("paddle_classic", #"{"alert_id":"1","update_url":"hidden","cancel_url":"hidden","p_signature":"hidden"}"#),
    ("lemon_squeezy", #"{"data":{"id":"1","attributes":{"key":"hidden","urls":{"customer_portal":"hidden"}}}}"#),
    ("chatwoot", #"{"conversation":{"contact_inbox":{"contact_id":1,"pubsub_token":"hidden"}}}"#),
    ("posthog", #"{"event":"x","distinct_id":"1","token":"hidden","properties":{"Password":"hidden"}}"#),
    ("segment", #"{"type":"track","userId":"1","properties":{"apiKey":"hidden"},"writeKey":"hidden"}"#),
  ])
  func credentialsThatVendorsSendAreNotKept(_ source: String, _ body: String) throws {
    let mapping = try #require(try decoder().mappings[source])
    let redacted = try #require(BodyRedaction(mapping)?.redacted(Array(body.utf8)))
    #expect(String(decoding: redacted, as: UTF8.self) == body.replacing("hidden", with: "[redacted]"))
  }

  @Test func whatNoMappingReadsIsNotKept() throws {
    let mappings = try mappings()
    let (message, _) = message(sent("no json"), by: mappings)
    var buffer: [UInt8] = []
    #expect(!RawMessageForm(mappings: mappings, redaction: Self.secrets).append(message, to: &buffer))
    #expect(buffer.isEmpty)
    #expect(RawMessage([9, 9, 9]) == nil)
  }
}
