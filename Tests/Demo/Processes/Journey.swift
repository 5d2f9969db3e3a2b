import Foundation
import Subprocess

/// The adapter's commands on the private servers, whatever the environment of this process says.
struct Journey: Sendable {
  /// Made-up, with the right to see every organisation of the demo.
  private static let user = "0d000000-0000-4000-8000-000000000001"

  struct Page {
    /// Without a slash at the end.
    let address: String
    let token: String
    /// What to open in a browser.
    var link: String { "\(address)/#token=\(token)" }
  }

  let binary: String
  let servers: DemoServers
  /// The file with the rules of the decision; nil: those that are shipped.
  var rules: String?
  private let configuration: String
  private let inherited: [String: String]
  private let secret = DemoServers.randomToken()
  private var databaseURL: String

  init(binary: String, configuration: String, servers: DemoServers, environment: [String: String]) {
    self.binary = binary
    self.configuration = configuration
    self.servers = servers
    inherited = environment
    databaseURL = servers.loginURL
  }

  /// The same commands with the login of the tables' owner.
  func asOwner() -> Journey {
    var copy = self
    copy.databaseURL = servers.ownerURL
    return copy
  }

  func run<Output: OutputProtocol>(_ arguments: [String], output: Output) async throws {
    try await program().run(arguments + ["--config", configuration], output: output)
  }

  /// - Parameter options: further ones of `journey publish`.
  func publish(_ files: [EventFile], in directory: String, options: [String] = []) async throws {
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    for file in files {
      try await run(["publish", try file.write(in: directory)] + file.options + options, output: .discarded)
    }
  }

  /// Runs the adapter around `body`.
  func serve<Value: Sendable>(logFile: String, _ body: (Adapter) async throws -> Value) async throws -> Value {
    var settings = [
      "API_JWT_SECRET": secret,
      // Not retried: an event of an unknown client would be a dead letter only after more than an hour.
      "RETRY_UNKNOWN_CLIENT": "false",
      "API_PORT": inherited["API_PORT"] ?? "0",
      "LOG_FORMAT": "text",
      "PROBES_PORT": inherited["PROBES_PORT"] ?? "0",
      "API_REQUESTS_PER_SECOND": inherited["API_REQUESTS_PER_SECOND"] ?? "50",
    ]
    settings["DECISIONS_FILE"] = rules
    return try await Adapter.running(
      program(settings), ["serve", "--config", configuration], logFile: logFile, body)
  }

  /// The page of the running adapter, with a token of a user who belongs to every organisation and may operate.
  /// - Returns: nil where the API is not served.
  func page(_ adapter: Adapter) async throws -> Page? {
    guard let address = adapter.address else { return nil }
    try await servers.script(
      """
      INSERT INTO user_organizations (user_id, org_id) SELECT '\(Self.user)', id FROM organizations
      ON CONFLICT DO NOTHING
      """)
    let token = try await program(["API_JWT_SECRET": secret]).output([
      "token", "--user", Self.user, "--operations", "--config", configuration,
    ])
    return Page(address: address.hasSuffix("/") ? String(address.dropLast()) : address, token: token)
  }

  /// Runs a shell command that may use the page.
  /// - Returns: its exit status.
  func shell(_ command: String, _ page: Page, directory: String) async throws -> Int32 {
    let settings = Environment.inherit.updating([
      "API_ADDRESS": page.address, "API_TOKEN": page.token, "SERVERS_DIRECTORY": directory, "JOURNEY_BINARY": binary,
    ])
    switch try await Program(executable: "bash", environment: settings).end(
      ["-c", command], output: .currentStandardOutput)
    {
    case .exited(let status): return status
    case .signaled(let signal): return 128 + signal
    }
  }

  private func program(_ settings: [String: String] = [:]) -> Program {
    var all = [
      "PATH": inherited["PATH"] ?? "/usr/bin:/bin", "HOME": inherited["HOME"] ?? "/", "LANG": "C.UTF-8",
      "AMQP_URL": servers.amqpURL, "DATABASE_URL": databaseURL,
    ]
    all.merge(settings) { $1 }
    let pairs = all.map { (Environment.Key(stringLiteral: $0.key), $0.value) }
    return Program(executable: binary, environment: .custom(Dictionary(uniqueKeysWithValues: pairs)))
  }
}
