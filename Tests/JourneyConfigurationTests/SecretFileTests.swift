import Foundation
import Testing

@testable import JourneyConfiguration

/// Where a secret comes from, and what is said of a file that is of no use.
@Suite struct SecretFileTests {
  private let directory: String

  init() throws {
    directory = NSTemporaryDirectory() + "journey-secrets-\(UUID().uuidString)"
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
  }

  private func file(_ name: String, _ text: String, mode: Int = 0o600) throws -> String {
    let path = "\(directory)/\(name)"
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    return path
  }

  private func load(
    _ environment: [String: String] = [:], yaml: String = "log: {}\n", flags: [String: String] = [:]
  ) async throws -> Settings {
    try await SettingsLoader.load(path: try file("journey.yaml", yaml), flags: flags, environment: environment)
  }

  private func problem(_ environment: [String: String]) async -> String {
    await #expect(throws: SettingsError.self) { _ = try await load(environment) }?.description ?? ""
  }

  @Test func theFirstLayerThatHasASecretDecides() async throws {
    let inFile = try file("a", "amqp://file\n"), inEnvironment = try file("b", "amqp://environment\r\n")
    _ = try file("amqp-url", "amqp://credential\n")
    let credentials = ["CREDENTIALS_DIRECTORY": directory]
    let yaml = "amqp: {urlFile: \(inFile)}\n"
    #expect(try await load(credentials).amqpURL == "amqp://credential")
    #expect(try await load(credentials).amqpURLFile?.path == "\(directory)/amqp-url")
    #expect(try await load(credentials, yaml: yaml).amqpURL == "amqp://file")
    let environment = credentials.merging(["AMQP_URL_FILE": inEnvironment]) { $1 }
    #expect(try await load(environment, yaml: yaml).amqpURL == "amqp://environment")
    let flag = try await load(environment, yaml: yaml, flags: ["amqp.url": "amqp://flag"])
    #expect(flag.amqpURL == "amqp://flag" && flag.amqpURLFile == nil)
    // An empty variable is none: compose files and units set them.
    #expect(try await load(["AMQP_URL": "", "AMQP_URL_FILE": ""], yaml: yaml).amqpURL == "amqp://file")
    // Relative to the settings file.
    #expect(try await load(yaml: "database: {urlFile: a}\n").databaseURL == "amqp://file")
  }

  @Test func aFileOfNoUseIsAnErrorThatNamesItsPathAndNothingOfIt() async throws {
    let empty = try file("empty", "\n\n"), secret = "too-short-to-be-a-secret"
    #expect(await problem(["AMQP_URL_FILE": empty]) == "amqp.urlFile: \(empty) is empty")
    let missing = await problem(["DATABASE_URL_FILE": directory + "/none"])
    #expect(missing == "database.urlFile: \(directory)/none cannot be read: No such file or directory")
    let short = await problem(["API_JWT_SECRET_FILE": try file("jwt", secret)])
    #expect(short.hasPrefix("api.jwtSecret: shorter than 32 bytes") && !short.contains(secret))
    let both = await problem(["AMQP_URL": "amqp://a", "AMQP_URL_FILE": try file("c", "amqp://b")])
    #expect(both == "amqp.urlFile: amqp.url is set as well; set one of them")
  }

  /// What journey.service has for a missing file.
  @Test func anEmptyCredentialCountsAsNotSet() async throws {
    _ = try file("jwt-secret", "\n")
    let settings = try await load(["CREDENTIALS_DIRECTORY": directory, "API_JWT_ALGORITHM": "RS256"])
    #expect(settings.api.secrets.isEmpty)
  }

  @Test func aFileThatEverybodyCanReadIsAWarning() async throws {
    let open = try file("open", "amqp://x", mode: 0o644)
    // Nobody else enters its directory.
    #expect(try await load(["AMQP_URL_FILE": open]).warnings.isEmpty)
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: directory)
    let settings = try await load(["AMQP_URL_FILE": open])
    #expect(settings.warnings == ["amqp.urlFile: every user of this machine can read \(open); run: chmod o= \(open)"])
    #expect(try await load(["AMQP_URL_FILE": try file("closed", "amqp://x", mode: 0o640)]).warnings.isEmpty)
  }

  @Test func aChangedFileIsReadAgainAndAnUnusableOneIsNot() async throws {
    let first = String(repeating: "a", count: 32), second = String(repeating: "b", count: 32)
    let path = try file("jwt", "\(first)\n\n\(second)\n")
    let settings = try await load(["API_JWT_SECRET_FILE": path])
    #expect(settings.api.secrets == [first, second])
    let secret = try #require(settings.api.secretFile)
    let check = { (text: String) in try APIOptions.check(SecretFile.lines(of: text)) }
    _ = try file("jwt", second)
    try secret.reload(check)
    #expect(secret.lines == [second])
    for wrong in ["", "short"] {
      _ = try file("jwt", wrong)
      #expect(throws: SettingsError.self) { try secret.reload(check) }
      #expect(secret.lines == [second])
    }
    #expect(!"\(secret)\(String(reflecting: settings.api.secretFile))".contains(second))
  }
}
