import AMQPClient
import Foundation
import Testing

/// Events of a small mapping, and what `journey trace` says of them.
enum TraceSample {
  static let org = "0193a6f2-0000-7000-8000-00000000000e"
  static let otherOrg = "0193a6f2-0000-7000-8000-00000000000f"
  static let mapping = """
    source: abacus
    envelope:
      {id: $.id, type: $.kind, time: {path: $.at, unit: s}, client: $.who, org: "header:x-org-id", metadata: $}
    rules:
      - {name: one, when: {type: x}, event: {type: cancel_requested, stage: churn_risk, create: {name: $.who}}}
      - {name: two, when: {type: y}, ignore: not used}
      - {name: three, when: {type: u}, event: {type: note_added, stage: keep}}
    """

  static func body(_ kind: String, _ id: String, who: String = "c1") -> String {
    #"{"id":"\#(id)","kind":"\#(kind)","at":\#(Int(Date().timeIntervalSince1970) - 60),"who":"\#(who)"}"#
  }

  static func message(_ kind: String, _ id: String, who: String = "c1", body: String? = nil) -> OutboundMessage {
    var properties = MessageProperties(contentType: "application/json", messageID: "m-\(id)")
    properties.headers["x-source"] = "abacus"
    properties.headers["x-org-id"] = .string(org)
    return OutboundMessage(
      exchange: "journey.events", routingKey: "abacus.\(kind)", properties: properties,
      body: Array((body ?? Self.body(kind, id, who: who)).utf8))
  }

  struct Answer: Decodable {
    struct Found: Decodable {
      var place: String
      var now: String
      var id: String?
      var eventId: String?
      var actionId: String?
      var clientId: String?
      var deadLetterId: String?
      var code: String?
      var tier: String?
      var steps: [Step]
    }
    struct Step: Decodable { var step: String }
    struct Queue: Decodable { var messages: Int? }
    var found: [Found]
    var ingestQueue: Queue
    var places: [String] { found.map(\.place) }
  }

  /// The mapping's directory, and the settings that name it.
  static func withMapping(_ body: ([String: String]) async throws -> Void) async throws {
    try await withTemporaryDirectory { directory in
      try Data(mapping.utf8).write(to: URL(filePath: directory).appending(path: "abacus.yaml"))
      try await body([
        "MAPPINGS_DIRECTORIES": directory, "DEAD_LETTERS_ARCHIVE": "true", "RETRY_UNKNOWN_CLIENT": "true",
        "RETRY_TIERS": "1h",
      ])
    }
  }

  static func withServers(_ body: (TestEnvironment, [String: String]) async throws -> Void) async throws {
    try await withMapping { settings in
      try await TestEnvironment.with { environment in
        for id in [org, otherOrg] {
          try await environment.execute("INSERT INTO organizations (id, name) VALUES ('\(id)', 'o')")
        }
        try await body(environment, settings)
      }
    }
  }
}

extension TestEnvironment {
  /// The answer of `journey trace`, found or not.
  func trace(_ id: String, _ settings: [String: String], _ more: [String] = []) async throws -> TraceSample.Answer {
    let finished = try await run(
      ["trace", id, "--json", "--config", Profile.defaultProfile.configuration] + more, environment: settings)
    let answer = try JSONDecoder().decode(TraceSample.Answer.self, from: Data(finished.output.utf8))
    #expect(finished.status == (answer.found.isEmpty ? 1 : 0), "\(finished)")
    return answer
  }
}
