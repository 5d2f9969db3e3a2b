import TestSupport
import AMQPClient
import Foundation
import JourneyConfiguration
import Testing

@testable import JourneyAMQP

@Suite struct HeaderRedactionTests {
  private let redaction = HeaderRedaction(DeadLetterOptions.redactedHeaders)

  @Test(arguments: [
    "authorization", "Proxy-Authorization", "COOKIE", "set-cookie", "x-api-key", "X_API_KEY", "apikey", "X-Auth-Token",
    "x-gitlab-token", "client_secret",
    "x-password", "stripe-signature", "X-Hub-Signature-256", "x-shopify-hmac-sha256", "paddle-signature",
    "x-session-id", "aws-credentials",
  ])
  func credentialsAreKnownByTheirNames(_ name: String) { #expect(redaction.matches(name)) }

  /// What mappings read, and what tells a person where a message comes from.
  @Test(arguments: [
    "x-source", "x-org-id", "traceparent", "x-client-id", "x-groove-event", "x-request-id", "content-type",
    "user-agent", "x-forwarded-for", "authored-by", "",
  ])
  func othersAreKept(_ name: String) { #expect(!redaction.matches(name)) }

  @Test(arguments: [
    ("a", "a", true), ("a", "ab", false), ("a*", "ab", true), ("*b", "ab", true), ("*a*b*", "xaxbx", true),
    ("*a*b*", "xbxa", false), ("a*a", "a", false),
    ("*", "anything", true), ("a*b*c", "abbc", true),
  ])
  func aStarIsAnyText(_ pattern: String, _ name: String, _ matches: Bool) {
    #expect(HeaderRedaction([pattern]).matches(name) == matches)
  }

  /// What migrations take out of the archive is what the archive leaves out, where nothing else is set.
  @Test(arguments: ["112_dead_letters.sql", "116_letters.sql"])
  func migrationsKnowTheSameNames(_ file: String) throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let text = try String(contentsOf: root.appendingPathComponent("migrations/\(file)"), encoding: .utf8)
    let pattern = try #require(text.split(separator: "'").first { $0.hasPrefix("^(") })
    let parts = pattern.split(separator: ")$|")
    let whole = parts[0].dropFirst(2).split(separator: "|").map(String.init)
    let within = parts[1].split(separator: "|").flatMap { name in
      name.contains("[-_]?") ? ["-", "_", ""].map { name.replacing("[-_]?", with: $0) } : [String(name)]
    }
    #expect(Set(whole + within.map { "*\($0)*" }) == Set(DeadLetterOptions.redactedHeaders))
    // Dead letters are looked at where a name stands anywhere in their headers; of whole names the shorter ones stand in the
    // longer ones.
    let looked = try #require(text.split(separator: "'").first { $0.hasPrefix("authorization|cookie|") })
    #expect(looked == "authorization|cookie|" + parts[1])
  }

  @Test func whatStandsInTablesAndListsIsTakenOutToo() {
    let (rest, redacted) = redaction.apply(
      to: [
        "a": .table(["token": 1, "b": 2]), "list": .array([.table(["cookie": 1]), "x"]), "cookie": .table(["x": 1]),
      ])
    #expect(rest == ["a": .table(["b": 2]), "list": .array([.table([:]), "x"])])
    #expect(redacted == ["a.token", "list.cookie", "cookie"])
  }
}
