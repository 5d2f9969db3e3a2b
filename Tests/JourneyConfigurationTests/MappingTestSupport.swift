import FoundationEssentials
import Journey
import JourneyConfiguration
import Testing

/// The mapping files as they are shipped.
enum ShippedMappings {
  static let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
    .appending(path: "config").path

  private static let defaultProfile = Result { try MappingLoader.load(directories: ["\(directory)/mappings"]) }
  private static let literal = Result {
    try MappingLoader.load(directories: ["\(directory)/mappings", "\(directory)/profiles/literal/mappings"])
  }

  enum Profile { case defaultProfile, literal }

  static func load(_ profile: Profile = .defaultProfile) throws -> MappingCatalog {
    try profile == .defaultProfile ? defaultProfile.get() : literal.get()
  }
}

/// A body, and what must become of it: a line for each element.
///
/// `event TYPE STAGE ID CLIENT TIME [becomes one with ID…]`, `ignored RULE` or `rejected CODE FIELD [VALUE]`.
struct MappingCase: Sendable, CustomTestStringConvertible {
  var name: String
  var body: String
  var outcomes: [String]
  var metadata: [String: String]

  init(_ name: String, _ body: String, _ outcomes: String..., metadata: [String: String] = [:]) {
    self.name = name
    self.body = body
    self.outcomes = outcomes
    self.metadata = metadata
  }

  var testDescription: String { name }

  static let org = "0193a6f2-0000-7000-8000-000000000001"

  func check(
    _ mapping: Mapping, headers: [String: String] = ["x-org-id": org], messageID: String? = nil,
    timestamp: Timestamp? = nil
  )
    throws
  {
    let input = MappingInput(
      document: try JSONDocument(parsing: body), header: { headers[$0] }, messageID: messageID, timestamp: timestamp,
      limits: EventLimits(now: try #require(Timestamp(iso8601: "2026-11-23T00:00:00Z"))))
    let found = mapping.map(input).outcomes
    #expect(found.map(Self.line) == outcomes)
    let trace = mapping.trace(input)
    #expect(trace.elements.map(\.outcome) == found)
    for (key, value) in metadata {
      guard case .event(let event)? = found.first else {
        Issue.record("no event for metadata.\(key)")
        continue
      }
      let member = try JSONDocument(parsing: event.metadata).root[key]
      #expect(member.map { String(decoding: $0.rawBytes, as: UTF8.self) } ?? "absent" == value, "metadata.\(key)")
    }
  }

  static func line(_ outcome: MappingOutcome) -> String {
    switch outcome {
    case .event(let event):
      return [
        "event", event.type, event.stage?.rawValue ?? event.minStage.map { ">=\($0.rawValue)" } ?? "keep",
        event.sourceEventID, event.client.externalID ?? "none",
        event.occurredAt.iso8601,
      ].joined(separator: " ")
        + (event.client.merged.isEmpty ? "" : " becomes one with " + event.client.merged.joined(separator: ", "))
    case .ignored(let rule, _): return "ignored \(rule)"
    case .unlisted(let type): return "unlisted \(type)"
    case .rejected(let rejection, _):
      let parts = ["rejected", rejection.code.rawValue, rejection.field ?? "", rejection.value ?? ""]
      return parts.joined(separator: " ").trimmingEnd
    }
  }
}

extension String {
  fileprivate var trimmingEnd: String {
    var text = self
    while text.last == " " { text.removeLast() }
    return text
  }
}
