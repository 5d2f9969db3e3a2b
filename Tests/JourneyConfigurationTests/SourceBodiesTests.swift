import FoundationEssentials
import Journey
import JourneyConfiguration
import Testing

/// Bodies of the shapes that vendors send, with invented names and ids, and what becomes of them: a file a source in
/// `Bodies`.
///
/// A case is `# name`, lines `@messageID …`, `@timestamp seconds` or `@header name=value` for the message around it,
/// the body in one line, a line `> …` for each of its outcomes as `MappingCase` writes them, and lines `= member JSON`
/// for metadata of the first.
@Suite("Mapping: bodies of all sources")
struct SourceBodiesTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var source: String
    var example: MappingCase
    var headers = ["x-org-id": MappingCase.org]
    var messageID: String?
    var timestamp: Timestamp?

    var testDescription: String { "\(source): \(example.name)" }
  }

  static let cases: [Case] = {
    let directory = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Bodies").path
    let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    return names.sorted().flatMap { name in
      let text =
        FileManager.default.contents(atPath: "\(directory)/\(name)").map { String(decoding: $0, as: UTF8.self) } ?? ""
      return read(text, source: String(name.prefix { $0 != "." }))
    }
  }()

  private static func read(_ text: String, source: String) -> [Case] {
    var cases: [Case] = []
    for line in text.split(separator: "\n") {
      let rest = String(line.dropFirst(2))
      switch line.first {
      case "#": cases.append(Case(source: source, example: MappingCase(rest, "")))
      case "{", "[": cases[cases.count - 1].example.body = String(line)
      case ">": cases[cases.count - 1].example.outcomes.append(rest)
      case "=":
        let parts = rest.split(separator: " ", maxSplits: 1).map(String.init)
        cases[cases.count - 1].example.metadata[parts[0]] = parts[1]
      default:
        let parts = line.dropFirst().split(separator: " ", maxSplits: 1).map(String.init)
        switch parts[0] {
        case "messageID": cases[cases.count - 1].messageID = parts[1]
        case "timestamp": cases[cases.count - 1].timestamp = Int64(parts[1]).map { Timestamp(seconds: $0) }
        default:
          let header = parts[1].split(separator: "=", maxSplits: 1).map(String.init)
          cases[cases.count - 1].headers[header[0]] = header[1]
        }
      }
    }
    return cases
  }

  @Test(arguments: cases) func maps(_ example: Case) throws {
    let mapping = try #require(try ShippedMappings.load()[example.source])
    try example.example.check(
      mapping, headers: example.headers, messageID: example.messageID, timestamp: example.timestamp)
  }

  /// Every source that is shipped has bodies to be tested by.
  @Test func coversEverySource() throws {
    #expect(Set(Self.cases.map(\.source)) == Set(try ShippedMappings.load().sources))
    #expect(Self.cases.count >= 120)
  }

  /// Whatever the body, its first draft is a mapping that loads.
  @Test(arguments: cases) func aDraftLoads(_ example: Case) throws {
    let draft = MappingDraft(try JSONDocument(parsing: example.example.body), source: "new_source").text
    let mapping = try MappingLoader.load(yaml: draft, file: "draft.yaml")
    #expect(mapping.source == "new_source")
  }

  /// What docs/sources.md says of its two examples.
  @Test func theExamplesOfTheTutorialHold() throws {
    let directory = URL(filePath: ShippedMappings.directory).deletingLastPathComponent().appending(
      path: "docs/examples")
    func example(_ source: String) throws -> (Mapping, String) {
      let yaml = String(decoding: try Data(contentsOf: directory.appending(path: "\(source).yaml")), as: UTF8.self)
      let body = String(decoding: try Data(contentsOf: directory.appending(path: "\(source).json")), as: UTF8.self)
      return (try MappingLoader.load(yaml: yaml, file: "\(source).yaml"), body)
    }
    let (calendly, booked) = try example("calendly")
    let id = "invitee.created:https://api.calendly.example/scheduled_events/EV77/invitees/IN42"
    try MappingCase(
      "booked", booked, "event meeting_scheduled onboarding \(id) ada@roth.example 2026-11-20T10:00:00Z",
      metadata: ["host": #"[{"user_email":"[redacted]"}]"#]
    ).check(calendly)
    let moved = booked.replacing("invitee.created", with: "invitee.canceled").replacing(
      #""rescheduled": false"#, with: #""rescheduled": true"#)
    try MappingCase("moved", moved, "ignored moved to another time").check(calendly)
    let (typeform, unhappy) = try example("typeform")
    try MappingCase(
      "unhappy", unhappy, "event survey_answered churn_risk 01HTF7 k-77 2026-11-20T10:00:00Z",
      metadata: ["sentiment": #""negative""#, "score": "4", "mood": #""Very Unhappy""#]
    ).check(typeform)
    try MappingCase("nobody", unhappy.replacing("k-77", with: "xxxxx"), "rejected missing_field $.hidden.user_id xxxxx")
      .check(typeform)
  }
}
