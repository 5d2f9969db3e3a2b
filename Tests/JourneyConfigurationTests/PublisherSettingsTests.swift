import Foundation
import Journey
import JourneyConfiguration
import Testing

/// The section `publishers` of the settings file.
@Suite struct PublisherSettingsTests {
  private static let org = UUID(uuidString: "0f9c8b9e-2d3c-4a59-9b53-6a1f7c7f0a11")!

  private func load(_ yaml: String) async throws -> Settings {
    let path = NSTemporaryDirectory() + "journey-publishers-\(UUID().uuidString).yaml"
    try yaml.write(toFile: path, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await SettingsLoader.load(path: path, flags: [:], environment: [:])
  }

  @Test func withoutTheSectionNothingIsChecked() async throws {
    #expect(try await load("log: {level: info}\n").publishers == nil)
  }

  @Test func eachUserHasSourcesAndOrganizations() async throws {
    let publishers = try #require(
      try await load(
        """
        publishers:
          billing: {sources: stripe, organizations: ["\(Self.org)"]}
          crm: {sources: [hubspot, "https://crm.example.com/*"], organizations: "*", backfill: true}
        """
      ).publishers)
    #expect(publishers.keys.sorted() == ["billing", "crm"])
    #expect(publishers["billing"]?.organizations == [Self.org])
    #expect(publishers["crm"]?.organizations == nil)
    #expect(publishers["crm"]?.mayBackfill == true && publishers["billing"]?.mayBackfill == false)
    #expect(publishers["crm"]?.sources == PublisherPolicy.SourcePatterns(["hubspot", "https://crm.example.com/*"]))
  }

  @Test func anEmptySectionGrantsNothing() async throws {
    #expect(try await load("publishers: {}\n").publishers == [:])
  }

  @Test func everyMistakeIsNamed() async throws {
    let error = await #expect(throws: SettingsError.self) {
      _ = try await load(
        """
        publishers:
          billing: {sources: stripe, organizations: [acme]}
          crm: {source: hubspot, organizations: "*"}
        """)
    }
    let text = error?.description ?? ""
    #expect(text.contains("publishers.billing.organizations[0]: an organization is named by its UUID"), "\(text)")
    #expect(text.contains("did you mean sources?"), "\(text)")
    #expect(text.contains("publishers.crm: sources and organizations are both needed"), "\(text)")
  }
}
