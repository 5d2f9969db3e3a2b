import Foundation
import Subprocess

/// The workers of Examples, with users of the broker that may do what docs/workers.md says, and nothing else. In place of
/// a mail server and a telephone are programs that write down who was reached.
struct ExampleWorkers {
  private let run: DemoRun
  private let servers: DemoServers
  private let page: Journey.Page
  private var directory: String { run.directory + "/workers" }

  init(run: DemoRun, _ servers: DemoServers, _ page: Journey.Page) {
    self.run = run
    self.servers = servers
    self.page = page
  }

  /// The addresses that mails went to.
  func mails() throws -> [String] { try lines("mails") }
  /// The clients that were called.
  func calls() throws -> [String] { try lines("calls") }

  /// Runs the e-mail worker around `body`, and the voice worker around `voice` too.
  ///
  /// - Returns: whether the voice worker ran. It is left out where its Python packages cannot be installed.
  func running(_ body: () async throws -> Void, voice: () async throws -> Void) async throws -> Bool {
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    let token = directory + "/token"
    try Data((page.token + "\n").utf8).write(to: URL(fileURLWithPath: token))
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: token)
    let common = ["JOURNEY_API_URL": page.address, "JOURNEY_TOKEN_FILE": token]
    let sendmail = try script("sendmail", #"for to; do :; done; cat >/dev/null; echo "$to" >>"\#(directory)/mails""#)
    let call = try script("call", #"grep -oE '"subject": ?"[^"]+"' >>"\#(directory)/calls""#)
    let programs = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().path
    let email = Program(
      executable: programs + "/EmailWorker",
      environment: .inherit.updating(
        try await settings(
          of: "email",
          common.merging([
            "SENDMAIL": sendmail, "EMAIL_FROM": "team@journey.example",
            "EMAIL_TEMPLATES": run.root + "/Examples/EmailWorker/templates",
          ]) { $1 })))
    let python = try? await Program(executable: run.root + "/scripts/venv").output(["voice-worker"])
    try await email.running([], as: "the e-mail worker", logFile: directory + "/email.log") { _ in
      try await body()
      guard let python else { return }
      let worker = Program(
        executable: python + "/bin/python3",
        environment: .inherit.updating(try await settings(of: "voice", common.merging(["CALL_COMMAND": call]) { $1 })))
      try await worker.running(
        [run.root + "/Examples/voice-worker/worker.py"], as: "the voice worker", logFile: directory + "/voice.log"
      ) { _ in try await voice() }
    }
    if python == nil {
      run.console.warning("without the voice worker: its Python packages cannot be installed")
    }
    return python != nil
  }

  private func settings(
    of channel: String, _ others: [String: String]
  ) async throws -> [Environment.Key: String?] {
    var settings = others
    settings["AMQP_URL"] = try await servers.workerURL(channel)
    return Dictionary(uniqueKeysWithValues: settings.map { (Environment.Key(stringLiteral: $0), $1) })
  }

  private func script(_ name: String, _ body: String) throws -> String {
    let path = "\(directory)/\(name)"
    try Data("#!/bin/sh\n\(body)\n".utf8).write(to: URL(fileURLWithPath: path))
    try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: path)
    return path
  }

  private func lines(_ name: String) throws -> [String] {
    let path = "\(directory)/\(name)"
    guard FileManager.default.fileExists(atPath: path) else { return [] }
    return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
  }
}
