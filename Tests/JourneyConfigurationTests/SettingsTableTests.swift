import Foundation
import Testing

@testable import JourneyConfiguration

/// The table of settings: loading, the names in the environment, deprecated keys, the generated file.
@Suite struct SettingsTableTests {
  private func load(_ yaml: String? = nil, _ environment: [String: String] = [:]) async throws -> Settings {
    let path = NSTemporaryDirectory() + "journey-settings-\(UUID().uuidString).yaml"
    try (yaml ?? "log: {}\n").write(toFile: path, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await SettingsLoader.load(path: path, flags: [:], environment: environment)
  }

  private func problems(_ yaml: String?, _ environment: [String: String] = [:]) async -> String {
    await #expect(throws: SettingsError.self) { _ = try await load(yaml, environment) }?.description ?? ""
  }

  /// The values of all properties, by path.
  private func values(_ subject: Any, _ path: String = "settings") -> [String: String] {
    if let names = subject as? [String: String] {
      return Dictionary(uniqueKeysWithValues: names.map { ("\(path).\($0)", $1) })
    }
    let children = Mirror(reflecting: subject).children
    guard Mirror(reflecting: subject).displayStyle == .struct, !children.isEmpty, !(subject is String) else {
      return [path: "\(subject)"]
    }
    return children.reduce(into: [:]) { result, child in
      result.merge(values(child.value, "\(path).\(child.label ?? "")")) { first, _ in first }
    }
  }

  @Test func theFileOfVersion040LoadsUnchanged() async throws {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Settings/journey-0.4.0.yaml")
    let old = try await load(String(contentsOf: file, encoding: .utf8))
    var loaded = values(old), defaults = values(try await load())
    #expect(old.decisionFile?.hasSuffix("/decisions.yaml") == true)
    for key in ["settings.decisionFile", "settings.warnings", "settings.file", "settings.changed"] {
      loaded[key] = nil
      defaults[key] = nil
    }
    #expect(loaded == defaults)
    #expect(
      old.warnings == [
        "pipeline.lanes (PIPELINE_LANES) is deprecated: write pipeline.workers (PIPELINE_WORKERS)"
      ])
  }

  @Test func theGeneratedFileSaysTheDefaults() async throws {
    let shown = try await load(SettingsReference(Settings.all).yaml)
    var loaded = values(shown), defaults = values(try await load())
    for key in ["settings.decisionFile", "settings.file", "settings.changed"] {
      loaded[key] = nil
      defaults[key] = nil
    }
    #expect(loaded == defaults)
    #expect(shown.warnings.isEmpty)
  }

  /// The library forms the names that it reads; the table forms the names that it shows.
  @Test func everySettingIsReadUnderItsNameInTheEnvironment() async throws {
    var wrong: [String: String] = [:], marked: [String: String] = [:]
    for setting in Settings.all {
      guard let name = setting.environment else { continue }
      switch setting.kind {
      case .integer, .boolean: wrong[name] = "many"
      case _ where setting.choices != nil: wrong[name] = "many"
      // Keys for tokens exclude each other.
      case _ where setting.key.hasPrefix("api.jw") && setting.defaultValue == nil: continue
      // So do a secret and the file that holds it.
      case _ where setting.key.lowercased().hasSuffix("urlfile"): continue
      default: marked[name] = "marked-\(setting.key)"
      }
    }
    let text = await problems(nil, wrong)
    for setting in Settings.all where wrong[setting.environment ?? ""] != nil {
      #expect(text.contains("\(setting.key): many is "), "\(setting.key)")
    }
    let loaded = values(try await load(nil, marked)).values.joined(separator: "\n")
    for value in marked.values { #expect(loaded.contains(value)) }
  }

  @Test func theDeprecatedKeyIsAccepted() async throws {
    let old = try await load("pipeline: {lanes: 4}\n")
    #expect(old.workers == 4)
    #expect(old.warnings.count == 1)
    let both = try await load("pipeline: {lanes: 4, workers: 4}\n")
    #expect(both.workers == 4)
    #expect(both.warnings.count == 1)
    #expect(try await load("pipeline: {workers: 4}\n").warnings.isEmpty)
  }

  @Test func theEnvironmentOverridesTheFileUnderEitherName() async throws {
    #expect(try await load("pipeline: {workers: 2}\n", ["PIPELINE_LANES": "5"]).workers == 5)
    #expect(try await load("pipeline: {lanes: 2}\n", ["PIPELINE_WORKERS": "5"]).workers == 5)
  }

  @Test func differentValuesUnderBothNamesAreRefused() async throws {
    let inFile = await problems("pipeline: {lanes: 2, workers: 3}\n")
    #expect(inFile == "pipeline.lanes: 2 differs from pipeline.workers: 3; write pipeline.workers alone")
    let inEnvironment = await problems(nil, ["PIPELINE_LANES": "2", "PIPELINE_WORKERS": "3"])
    #expect(inEnvironment == inFile)
  }

  @Test func wrongValuesAreNamedByTheKeyThatHasThem() async throws {
    #expect(
      await problems("pipeline: {lanes: 0}\n") == "pipeline.lanes: 0 is not a whole number from 1 to 32")
    #expect(
      await problems("pipeline: {workers: 33}\n") == "pipeline.workers: 33 is not a whole number from 1 to 32")
    #expect(
      await problems("log: {level: loud}\n")
        == "log.level: loud is none of trace, debug, info, notice, warning, error, critical")
  }

  @Test func aHintNamesTheKeyThatWasMeant() async throws {
    #expect(
      await problems("pipeline: {wrokers: 2}\n").contains("wrokers: this key is not known (did you mean workers?)"))
    #expect(
      await problems("pipline: {workers: 2}\n").contains("pipline: this key is not known (did you mean pipeline?)"))
    let text = await problems("pipeline: {lanse: 2}\n")
    #expect(text.contains("lanse: this key is not known") && !text.contains("lanes"))
  }
}
