import Foundation
import JourneyConfiguration
import Testing

/// Where the settings of an installed program and its own files are found.
@Suite struct InstalledFilesTests {
  private let root = "\(NSTemporaryDirectory())journey-installed-\(UUID().uuidString)"

  private func load(_ text: String? = "{}\n", in directory: String = "etc", environment: [String: String] = [:])
    async throws -> Settings
  {
    let manager = FileManager.default
    for name in ["etc", "working/config", "share/mappings", "share/migrations"] {
      try manager.createDirectory(atPath: "\(root)/\(name)", withIntermediateDirectories: true)
    }
    if let text { try text.write(toFile: "\(root)/\(directory)/journey.yaml", atomically: true, encoding: .utf8) }
    return try await SettingsLoader.load(
      path: nil, flags: [:], environment: environment, standard: ["\(root)/working/config", "\(root)/etc"],
      data: "\(root)/share")
  }

  @Test func theMachinesSettingsAreReadFromAnyDirectory() async throws {
    defer { try? FileManager.default.removeItem(atPath: root) }
    #expect(try await load("log: {level: debug}\n").logLevel == "debug")
    // The working copy's come first, and what is named before both.
    #expect(try await load("log: {level: error}\n", in: "working/config").logLevel == "error")
    #expect(try await load(nil, environment: ["JOURNEY_CONFIG": "\(root)/etc"]).logLevel == "debug")
  }

  @Test func theProgramsOwnFilesAreTheDefault() async throws {
    defer { try? FileManager.default.removeItem(atPath: root) }
    let settings = try await load()
    #expect(settings.mappingDirectories == ["\(root)/share/mappings"])
    #expect(settings.migrationsDirectory == "\(root)/share/migrations")
  }

  @Test func mappingsBesideTheSettingsReplaceTheProgramsOwn() async throws {
    defer { try? FileManager.default.removeItem(atPath: root) }
    try FileManager.default.createDirectory(atPath: "\(root)/etc/mappings", withIntermediateDirectories: true)
    #expect(try await load().mappingDirectories == ["\(root)/share/mappings", "\(root)/etc/mappings"])
  }

  @Test func whatIsSetIsTakenAlone() async throws {
    defer { try? FileManager.default.removeItem(atPath: root) }
    let settings = try await load("mappings: {directories: [other]}\nmigrations: {directory: /srv/migrations}\n")
    #expect(settings.mappingDirectories == ["\(root)/etc/other"])
    #expect(settings.migrationsDirectory == "/srv/migrations")
  }
}
