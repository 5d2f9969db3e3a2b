import FoundationEssentials
import Journey

/// A mapping in code with one rule for any type, to be changed field by field.
struct MappingFixture {
  static let org = "0193a6f2-0000-7000-8000-000000000001"
  static let now = Timestamp(seconds: 1_795_200_000)

  var envelope: MappingEnvelope
  var id: [MappingExpression]
  var type: MappingExpression
  var stage = StageRule.keep
  var time: [MappingTime]
  var client: MappingClient
  var creation: MappingCreation?
  var metadata = MappingMetadata()
  var headers = ["x-org-id": org]
  var messageID: String?
  var timestamp: Timestamp?

  init() throws {
    envelope = MappingEnvelope(
      type: .reference(try MappingReference("$.type")),
      organization: [.reference(try MappingReference("header:x-org-id")), .reference(try MappingReference("$.org"))])
    id = [.reference(try MappingReference("$.id"))]
    type = .reference(try MappingReference("$.type"))
    time = [MappingTime(.reference(try MappingReference("$.at")), unit: .auto)]
    client = MappingClient([
      .reference(try MappingReference("$.client")), .reference(try MappingReference("$.customer")),
    ])
    metadata.base = .reference(try MappingReference("$.data"))
  }

  var mapping: Mapping {
    let template = EventTemplate(
      id: id, type: type, stage: stage, time: time, client: client, creation: creation, metadata: metadata)
    return Mapping(
      source: "test", envelope: envelope, rules: [MappingRule(name: "any", types: [], outcome: .event(template))])
  }

  func input(_ body: String) -> MappingInput {
    MappingInput(
      document: try! JSONDocument(parsing: body), header: { headers[$0] }, messageID: messageID, timestamp: timestamp,
      limits: EventLimits(now: Self.now))
  }

  func map(_ body: String) -> [MappingOutcome] { mapping.map(input(body)).outcomes }
}

extension MappingOutcome {
  var event: JourneyEvent? { if case .event(let event) = self { event } else { nil } }
  var rejection: Rejection? { if case .rejected(let rejection, _) = self { rejection } else { nil } }
}
