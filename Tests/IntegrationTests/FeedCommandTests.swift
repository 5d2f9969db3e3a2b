import Foundation
import Testing

@testable import TestSupport

/// `journey feeds`, and what `serve` stores for it.
@Suite struct FeedCommandTests {
  private struct Listed: Decodable {
    var orgId: String
    var source: String
    var usualGap: Int?
    var frozenSince: String?
  }

  @Test func whatServeHearsIsListedAndForgotten() async throws {
    var random = SeededRandom(stream: 156)
    let workload = Workload(events: 60, &random)
    try await TestEnvironment.with { environment in
      func listed(_ more: String...) async throws -> [Listed] {
        try JSONDecoder().decode(
          [Listed].self, from: Data(try await environment.succeed(["feeds", "list", "--json"] + more).utf8))
      }
      try await workload.seed(environment)
      #expect(try await environment.succeed(["feeds", "list"]).contains("no source was heard yet"))
      let program = try await environment.serve(.defaultProfile)
      try await environment.publish(workload.messages(duplicates: 0, &random))
      try await environment.settles(events: workload.events.count, program)
      // What was heard is stored at the end as well.
      try await environment.stop(program)
      let heard = Set(workload.events.filter { !$0.isHosts }.map { [$0.client.org, $0.source] })
      #expect(Set(try await listed().map { [$0.orgId, $0.source] }) == heard)

      let feed = try #require(heard.first)
      try await environment.execute(
        "UPDATE journey_feeds SET frozen_since = now() - interval '2 days', usual_gap = 3600 WHERE org_id = '\(feed[0])' AND source = '\(feed[1])'"
      )
      let first = try #require(try await listed("--org", feed[0]).first)
      #expect(first.source == feed[1] && first.frozenSince != nil && first.usualGap == 3600)
      #expect(try await environment.succeed(["feeds", "list"]).contains("frozen since"))
      let found = try await environment.diagnose()["feeds-silent"]?.text ?? ""
      #expect(found.contains(feed[1]) && found.contains(feed[0]), "\(found)")

      let forgotten = try await environment.succeed(["feeds", "forget", feed[1], "--org", feed[0], "--json"])
      #expect(forgotten.contains(#""forgotten":true"#), "\(forgotten)")
      #expect(try await environment.diagnose()["feeds-silent"] == nil)
      let again = try await environment.run(["feeds", "forget", feed[1], "--org", feed[0]])
      #expect(again.status == 65 && again.errors.contains("has no source \(feed[1])"), "\(again)")
      let wrong = try await environment.run(["feeds", "forget", feed[1], "--org", "acme"])
      #expect(wrong.status == 65 && wrong.errors.contains("--org acme"), "\(wrong)")
    }
  }
}
