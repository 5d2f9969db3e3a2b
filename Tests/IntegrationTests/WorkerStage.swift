import AMQPClient
import Foundation
import JourneyAMQP
import TestServers
import Testing

@testable import TestSupport

/// The workers of Examples.
enum ExampleWorker: String, CaseIterable {
  case email, voice

  /// Its command and the variables that only it needs.
  fileprivate func command(running script: String) async throws -> (path: String, [String], [String: String]) {
    switch self {
    case .email:
      let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
      let templates = Repository.root + "/Examples/EmailWorker/templates"
      return (
        program.path + "/EmailWorker", [],
        ["SENDMAIL": script, "EMAIL_FROM": "team@ours.example", "EMAIL_TEMPLATES": templates]
      )
    case .voice:
      let installed = try ChildProcess.start(
        Repository.root + "/scripts/venv", ["voice-worker"],
        environment: ProcessInfo.processInfo.environment, directory: Repository.root)
      let ending = await installed.ended(within: .seconds(240))
      try #require(ending == .exited(0), "\(installed.standardError)")
      let python = installed.standardOutput.trimmingCharacters(in: .newlines) + "/bin/python3"
      return (python, [Repository.root + "/Examples/voice-worker/worker.py"], ["CALL_COMMAND": script])
    }
  }
}

/// A worker between real queues. In the place of sendmail, or of what makes a call, is a program that records the action.
final class WorkerStage {
  let worker: ExampleWorker
  let environment: TestEnvironment
  let directory: String
  private let url: String
  private let command: (path: String, [String], [String: String])

  /// - Parameter isMigrated: whether there are tables too.
  static func with(
    _ worker: ExampleWorker, isMigrated: Bool = false, _ body: (WorkerStage) async throws -> Void
  ) async throws {
    try await TestEnvironment.with(isMigrated: isMigrated) { environment in
      try await withTemporaryDirectory { directory in
        _ = try await environment.admin.declare(MessagingNames().topology)
        try await body(try await WorkerStage(worker, environment, directory))
      }
    }
  }

  private init(_ worker: ExampleWorker, _ environment: TestEnvironment, _ directory: String) async throws {
    (self.worker, self.environment, self.directory) = (worker, environment, directory)
    let roles = BrokerRoles(MessagingNames(), virtualHost: environment.vhost).worker(of: worker.rawValue)
    url = try await environment.servers.allow(
      "worker-\(environment.vhost)", in: environment.vhost, configure: roles.configure, write: roles.write,
      read: roles.read)
    let script = directory + "/run"
    try """
    #!/bin/sh
    id=$(sed -nE 's/.*("id": ?"|^Message-ID: <)([0-9a-f-]{36}).*/\\2/p' | head -n 1)
    echo "$id $(date +%s.%N)" >>'\(directory)/ran'
    while [ -e '\(directory)/block' ]; do sleep 0.02; done
    exit $(cat '\(directory)/status' 2>/dev/null || echo 0)
    """.write(toFile: script, atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: script)
    command = try await worker.command(running: script)
  }

  var queue: String { "journey.actions.\(worker.rawValue)" }
  var user: String { "worker-\(environment.vhost)" }

  /// Starts the worker and waits until it consumes.
  /// - Parameter api: whether it asks the adapter, of which `answer` is a part.
  func start(api: String? = nil) async throws -> ChildProcess {
    var variables = ["PATH": "/usr/bin:/bin", "AMQP_URL": url].merging(command.2) { $1 }
    if let api {
      let token = directory + "/token"
      try "secret\n".write(toFile: token, atomically: true, encoding: .utf8)
      (variables["JOURNEY_API_URL"], variables["JOURNEY_TOKEN_FILE"]) = (api, token)
    }
    let child = try ChildProcess.start(
      command.path, command.1, environment: variables, directory: directory, input: [])
    try await eventually("a consuming worker", state: { child.standardError }) {
      if let ending = child.ending { throw Timeout(description: "it ended by \(ending): \(child.standardError)") }
      return child.standardError.contains("consuming")
    }
    return child
  }

  func kill(_ child: ChildProcess) async {
    child.send(SIGKILL)
    _ = await child.ended(within: .seconds(10))
  }

  /// Stops it, and expects that everything has been settled.
  func stop(_ child: ChildProcess, leaving count: Int = 0) async throws {
    child.send(SIGTERM)
    let ending = await child.ended(within: .seconds(30))
    #expect(ending == .exited(0), "\(child.standardError)")
    try await eventually("\(count) messages in \(queue)", within: .seconds(10)) {
      try await environment.admin.messageCount(queue: queue) == count
    }
  }

  // MARK: Messages

  /// - Parameter notBefore: seconds from now, like `expiresAt`.
  func action(_ id: String, notBefore: Double = -60, expiresAt: Double = 3600) throws -> OutboundMessage {
    func time(_ seconds: Double) -> String {
      Date.now.addingTimeInterval(seconds).formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
    let example = URL(fileURLWithPath: Repository.root + "/contracts/examples/action.email.json")
    var body = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: example)) as? [String: Any])
    var data = try #require(body["data"] as? [String: Any])
    (data["channel"], data["notBefore"], data["expiresAt"]) = (worker.rawValue, time(notBefore), time(expiresAt))
    (body["id"], body["data"]) = (id, data)
    return try message("journey.action.recommended.v1", id, body)
  }

  func revocation(_ id: String) throws -> OutboundMessage {
    let data = ["actionId": id, "action": "email_outreach", "channel": worker.rawValue, "reason": "invoice_paid"]
    let type = "journey.action.revoked.v1"
    return try message(
      type, "\(id)/revoked", ["specversion": "1.0", "id": "\(id)/revoked", "type": type, "data": data])
  }

  func message(_ type: String, _ id: String, _ body: [String: Any]) throws -> OutboundMessage {
    OutboundMessage(
      exchange: "journey.actions", routingKey: "\(worker.rawValue).email_outreach.medium",
      properties: MessageProperties(contentType: "application/cloudevents+json", messageID: id, type: type),
      body: Array(try JSONSerialization.data(withJSONObject: body)))
  }

  // MARK: What it did

  /// The actions that were run, in order, with the time.
  var runs: [(id: String, at: Date)] {
    let text = (try? String(contentsOfFile: directory + "/ran", encoding: .utf8)) ?? ""
    return text.split(separator: "\n").compactMap { line in
      let parts = line.split(separator: " ")
      guard parts.count == 2, let seconds = Double(parts[1]) else { return nil }
      return (String(parts[0]), Date(timeIntervalSince1970: seconds))
    }
  }

  var ran: [String] { runs.map(\.id) }

  /// Waits until so many outcomes are reported, and takes them.
  func outcomes(_ count: Int) async throws -> [Delivery] {
    try await eventually("\(count) outcomes", state: { "ran: \(self.ran)" }) {
      try await environment.admin.messageCount(queue: "journey.outcomes") >= count
    }
    return try await environment.drain("journey.outcomes")
  }

  /// `action outcome` of each.
  static func summary(_ outcomes: [Delivery]) throws -> [String] {
    try outcomes.map { outcome in
      let body = try #require(try JSONSerialization.jsonObject(with: Data(outcome.body)) as? [String: Any])
      let data = try #require(body["data"] as? [String: Any])
      return "\(data["actionId"] ?? "") \(data["outcome"] ?? "")"
    }.sorted()
  }

  /// Makes a run last until it is switched off again.
  func block(_ isOn: Bool) throws {
    let path = directory + "/block"
    if isOn {
      #expect(FileManager.default.createFile(atPath: path, contents: nil))
    } else {
      try FileManager.default.removeItem(atPath: path)
    }
  }

  func exit(with status: Int) throws {
    try "\(status)".write(toFile: directory + "/status", atomically: true, encoding: .utf8)
  }

  // MARK: The adapter's answers

  /// Serves `answer` over HTTP.
  func serveAnswers(_ body: (String) async throws -> Void) async throws {
    let root = directory + "/api/api/journey/actions"
    try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
    let server = try ChildProcess.start(
      "/usr/bin/env",
      ["python3", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", directory + "/api"],
      environment: ["PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"], directory: directory,
      input: [])
    defer { server.send(SIGKILL) }
    var port: Substring?
    try await eventually("the port of the answers") {
      port = server.standardOutput.firstMatch(of: /port (\d+)/)?.1
      return port != nil
    }
    try await body("http://127.0.0.1:\(port ?? "")")
  }

  func answer(_ id: String, mayRun: Bool, because: String? = nil) throws {
    let answer: [String: Any] = ["state": "published", "mayRun": mayRun, "because": because ?? NSNull()]
    try JSONSerialization.data(withJSONObject: answer).write(
      to: URL(fileURLWithPath: directory + "/api/api/journey/actions/\(id)"), options: .atomic)
  }
}
