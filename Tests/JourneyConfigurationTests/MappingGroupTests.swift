import FoundationEssentials
import Journey
import JourneyConfiguration
import Testing

/// Who an event is about: several ids of a client, ids that mean nobody, and groups.
@Suite("Clients and groups of mappings")
struct MappingGroupTests {
  private static let org = UUID(uuidString: MappingCase.org)!

  private static func event(_ body: String, envelope: String = "", event: String = "") throws -> MappingOutcome {
    let yaml = """
      source: test
      envelope:
        type: $.type
        id: $.id
        time: $.at
        org: "header:x-org-id"
      \(envelope)
      rules:
        - name: a
          when: {type: x}
          event: {type: note_added, stage: keep\(event)}
      """
    let mapping = try MappingLoader.load(yaml: yaml, file: "m.yaml")
    let input = MappingInput(
      document: try JSONDocument(parsing: #"{"type":"x","id":"e","at":1795200000,\#(body)}"#), header: { _ in nil },
      orgID: org, limits: EventLimits(now: Timestamp(seconds: 1_795_200_000)))
    return mapping.map(input).outcomes[0]
  }

  private static func client(_ body: String, envelope: String = "", event: String = "") throws -> ClientReference {
    let outcome = try Self.event(body, envelope: envelope, event: event)
    guard case .event(let made) = outcome else { throw Rejection(.malformed, "no event: \(outcome)") }
    return made.client
  }

  @Test func keepsTheFurtherIdsOfWhichTheFirstThatIsKnownCounts() throws {
    let envelope = "  client: {from: [$.a, $.b, $.c], known: true}"
    let all = try Self.client(#""a":"1","b":"2","c":"3""#, envelope: envelope)
    #expect(all.externalID == "1")
    #expect(all.alternatives == ["2", "3"])
    let some = try Self.client(#""b":"2","c":"2""#, envelope: envelope)
    #expect(some.externalID == "2")
    #expect(some.alternatives == [], "each id once")
    // Without `known` the first that is present counts.
    let first = try Self.client(#""a":"1","b":"2""#, envelope: "  client: [$.a, $.b]")
    #expect(first.alternatives == [])
    let many = (0..<20).map { "$.n\($0)" }.joined(separator: ", ")
    let ids = (0..<20).map { #""n\#($0)":"i\#($0)""# }.joined(separator: ",")
    let bounded = try Self.client(ids, envelope: "  client: {from: [\(many)], known: true}")
    #expect(bounded.alternatives.count == MappingClient.maxCandidates - 1)
  }

  @Test func skipsRefusedIdsAndPrefixes() throws {
    let envelope = #"  client: {from: [$.a, $.b], refuse: ["$RCAnonymousID:*", Guest]}"#
    #expect(try Self.client(##""a":"$rcAnonymousID:77","b":"u1""##, envelope: envelope).externalID == "u1")
    #expect(try Self.client(#""a":"guest","b":"u1""#, envelope: envelope).externalID == "u1")
    #expect(try Self.client(#""a":"guest7","b":"u1""#, envelope: envelope).externalID == "guest7")
    guard case .rejected(let rejection, _) = try Self.event(##""a":"$RCAnonymousID:1""##, envelope: envelope) else {
      Issue.record("an anonymous id is no client")
      return
    }
    #expect(rejection.code == .missingField)
  }

  @Test func namesTheGroupBesideTheClientAndAlone() throws {
    let envelope = "  client: {from: $.user, refuse: [\"anon-*\"]}\n  group: $.company"
    let both = try Self.client(#""user":"u1","company":42"#, envelope: envelope)
    #expect(both.externalID == "u1" && both.group == "42" && !both.namesOnlyGroup)
    for user in ["", #""user":"anon-7","#] {
      let alone = try Self.client(user + #""company":42"#, envelope: envelope, event: ", merge: $.other, create: {}")
      #expect(alone.namesOnlyGroup && alone.group == "42" && alone.creation == nil)
    }
    #expect(try Self.client(#""user":"u1","company":"none""#, envelope: envelope).group == nil)
    // A rule's own group, without any client.
    let own = try Self.client(#""team":"t""#, event: ", group: $.team")
    #expect(own.namesOnlyGroup && own.group == "t")
    guard case .rejected(let rejection, _) = try Self.event(#""x":1"#, envelope: envelope) else {
      Issue.record("neither a client nor a group")
      return
    }
    #expect(rejection.code == .missingField)
  }

  @Test(arguments: [
    (#"  client: {from: [$.a, $.b], refuse: ["*"]}"#, "would refuse every id"),
    ("  client: {from: $.a, known: true}", "known needs several ids"),
    ("", "no client"),
  ]) func namesWhatCannotWork(_ envelope: String, _ part: String) throws {
    #expect {
      _ = try Self.event("\"a\":1", envelope: envelope)
    } throws: {
      "\($0)".contains(part)
    }
  }
}
