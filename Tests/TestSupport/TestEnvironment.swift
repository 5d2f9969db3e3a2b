import AMQPClient
import Foundation
import Glibc
import PostgresClient
import Synchronization
import TestServers
import Testing

/// A virtual host and a database for one test, with the adapter's queues and tables, and the programs that use them.
final class TestEnvironment: Sendable {
  let servers: TestServers
  let vhost: String
  /// With a superuser's login, for the test's own queries.
  let databaseURL: String
  /// The logins of the adapter's programs.
  let logins: TestLogins
  let database: PostgresWorker
  let admin: AMQPAdmin
  let publisher: AMQPPublisher
  private let children = Mutex<[ChildProcess]>([])
  /// Those that write logs.
  private let logging = Mutex<[ChildProcess]>([])

  private init(servers: TestServers, vhost: String, databaseURL: String, logins: TestLogins) throws {
    self.servers = servers
    self.vhost = vhost
    self.logins = logins
    self.databaseURL = databaseURL
    var postgres = try PostgresSettings(conninfo: databaseURL, applicationName: "test")
    postgres.minReconnectDelay = .milliseconds(20)
    postgres.maxReconnectDelay = .milliseconds(200)
    database = PostgresWorker(postgres, name: "pg-test")
    var broker = try AMQPConnectionSettings(uri: servers.amqpURL(vhost: vhost), connectionName: "test")
    broker.minReconnectDelay = .milliseconds(20)
    broker.maxReconnectDelay = .milliseconds(200)
    admin = AMQPAdmin(settings: broker)
    publisher = AMQPPublisher(settings: broker)
  }

  /// Sets up, runs `body`, and cleans up. Programs that still run are killed.
  ///
  /// - Parameters:
  ///   - servers: nil: the shared ones.
  ///   - isMigrated: whether tables and queues are created.
  ///   - login: the login of the programs.
  static func with<Value>(
    servers: TestServers? = nil, isMigrated: Bool = true, login: TestLogin = .leastPrivileges,
    _ body: (TestEnvironment) async throws -> Value
  ) async throws -> Value {
    // Migrations take a second. On the shared servers they run once, and the database is copied.
    let template =
      servers == nil && isMigrated && login == .leastPrivileges ? try await DatabaseTemplate.shared() : nil
    let servers = if let servers { servers } else { try await TestServers.shared() }
    let vhost = try await servers.makeVirtualHost()
    let databaseURL = try await servers.makeDatabase(template: template?.name)
    let logins = try await TestLogins.make(login, servers, vhost: vhost, databaseURL: databaseURL)
    let environment = try TestEnvironment(servers: servers, vhost: vhost, databaseURL: databaseURL, logins: logins)
    let result: Result<Value, any Error>
    do {
      if let template {
        try await logins.takeOver(from: template.logins, servers, in: databaseURL.databaseName)
        try await logins.migrated(servers)
      } else if isMigrated {
        try await environment.succeed(["migrate"])
      }
      if isMigrated { try await environment.succeed(["topology", "apply"]) }
      environment.publisher.start()
      result = .success(try await body(environment))
    } catch {
      result = .failure(error)
    }
    await environment.takeDown()
    return try result.get()
  }

  private func takeDown() async {
    for child in children.withLock(\.self) where child.ending == nil {
      child.send(SIGKILL)
      _ = await child.ended(within: .seconds(10))
    }
    // A command's error may repeat what its user has typed.
    for child in logging.withLock(\.self) { checkPrivacy(child) }
    await publisher.close(deadline: .seconds(2))
    await admin.close(deadline: .seconds(2))
    await database.close()
  }

  // MARK: Programs

  struct Finished {
    var status: Int32
    var output: String
    var errors: String
  }

  /// Starts the adapter's program with the servers of this environment.
  /// - Parameter environment: further settings; an empty value removes a setting.
  func start(_ arguments: [String], environment: [String: String] = [:], input: [UInt8] = []) throws -> ChildProcess {
    var all = [
      "AMQP_URL": logins.amqpURL, "DATABASE_URL": arguments.first == "migrate" ? logins.ownerURL : logins.databaseURL,
      "PATH": "/usr/bin:/bin", "HOME": NSTemporaryDirectory(),
      // The tests read the dead-letter queue themselves, and expect each dead letter without delay.
      "DEAD_LETTERS_ARCHIVE": "false", "RETRY_UNKNOWN_CLIENT": "false",
      // And the actions of every channel.
      "ACTIONS_HUMAN_LIST": "false",
      // Many programs run at the same time, so each takes a free port.
      "API_PORT": "0", "PROBES_PORT": "0", "LOG_FORMAT": "text",
    ]
    all.merge(environment) { $1 }
    let child = try ChildProcess.start(
      Repository.binary, arguments, environment: all.filter { !$0.value.isEmpty }, directory: Repository.root,
      input: input)
    children.withLock { $0.append(child) }
    if arguments.first == "serve" { logging.withLock { $0.append(child) } }
    return child
  }

  /// Runs a command and waits for its end.
  func run(_ arguments: [String], environment: [String: String] = [:], input: [UInt8] = []) async throws -> Finished {
    let child = try start(arguments, environment: environment, input: input)
    guard let ending = await child.ended(within: .seconds(60)) else {
      throw Timeout(description: "journey \(arguments.joined(separator: " ")) did not end. \(child.standardError)")
    }
    guard case .exited(let status) = ending else {
      throw Timeout(
        description: "journey \(arguments.joined(separator: " ")) ended by \(ending). \(child.standardError)")
    }
    if arguments == ["migrate"], status == 0 { try await logins.migrated(servers) }
    return Finished(status: status, output: child.standardOutput, errors: child.standardError)
  }

  /// Runs a command that must succeed.
  /// - Returns: its standard output.
  @discardableResult
  func succeed(_ arguments: [String], input: [UInt8] = []) async throws -> String {
    let finished = try await run(arguments, input: input)
    try #require(finished.status == 0, "journey \(arguments.joined(separator: " ")): \(finished.errors)")
    return finished.output
  }

  /// Starts `journey serve` and waits until it consumes.
  func serve(_ profile: Profile, _ settings: [String: String] = [:]) async throws -> ChildProcess {
    let child = try start(["serve", "--config", profile.configuration], environment: settings)
    try await eventually("serve's consuming", state: { child.standardError }) {
      if let ending = child.ending {
        throw Timeout(description: "serve ended at once by \(ending): \(child.standardError)")
      }
      return child.standardError.contains("consuming")
    }
    return child
  }

  /// Stops `journey serve` with a signal and expects exit code 0.
  func stop(_ child: ChildProcess, by signal: Int32 = SIGTERM, within limit: Duration = .seconds(30)) async throws {
    child.send(signal)
    let ending = await child.ended(within: limit)
    #expect(ending == .exited(0), "serve has to stop in order: \(child.standardError)")
  }

  // MARK: Broker

  /// Publishes messages in chunks of random sizes. Each chunk is confirmed before the next.
  func publish(_ messages: [OutboundMessage], chunks: ClosedRange<Int> = 1...400, _ random: inout SeededRandom)
    async throws
  {
    var rest = messages[...]
    while !rest.isEmpty {
      let chunk = rest.prefix(Int.random(in: chunks, using: &random))
      rest = rest.dropFirst(chunk.count)
      try await publish(Array(chunk))
    }
  }

  func publish(_ messages: [OutboundMessage]) async throws {
    for outcome in await publisher.publish(messages) {
      guard case .confirmed = outcome else {
        throw Timeout(description: "a test message was not confirmed: \(outcome)")
      }
    }
  }

  /// Takes all messages from a queue that no program fills any more.
  func drain(_ queue: String) async throws -> [Delivery] {
    let expected = try await admin.messageCount(queue: queue)
    guard expected > 0 else { return [] }
    let holder = Holder()
    let settings = try AMQPConnectionSettings(uri: servers.amqpURL(vhost: vhost), connectionName: "test collector")
    let consumer = AMQPConsumer(settings: settings, queue: queue, prefetch: 2000, maxBatch: 500, consumerTag: "test") {
      holder.take($0)
    }
    consumer.start()
    var settled = 0
    try await eventually("\(expected) messages of \(queue)", state: { "\(settled) came" }) {
      let new = holder.deliveries.dropFirst(settled)
      settled += new.count
      consumer.settle(new.map { .ack($0.tag) })
      return settled >= expected
    }
    await consumer.close()
    try await eventually("an empty \(queue)") { try await admin.messageCount(queue: queue) == 0 }
    return holder.deliveries
  }

  private final class Holder: Sendable {
    private let taken = Mutex<[Delivery]>([])
    var deliveries: [Delivery] { taken.withLock { $0 } }
    func take(_ event: ConsumerEvent) {
      if case .deliveries(let new) = event { taken.withLock { $0 += new } }
    }
  }

  // MARK: Database

  /// The rows of a query: every column as text, NULL as empty text.
  func rows(_ sql: String) async throws -> [[String]] {
    try await database.perform { connection in
      let result = try connection.execute(sql)
      return try (0..<result.rowCount).map { row in
        try (0..<result.columnCount).map { try result.textIfPresent(row, $0) ?? "" }
      }
    }
  }

  func number(_ sql: String) async throws -> Int {
    let rows = try await rows(sql)
    return try #require(Int(rows[0][0]))
  }

  func execute(_ sql: String) async throws { _ = try await rows(sql) }

  /// Waits until `events` events are stored, all actions are recorded as published, and the ingest queue is empty.
  func settles(events: Int, within limit: Duration = .seconds(90), _ child: ChildProcess? = nil) async throws {
    let counts =
      """
      SELECT count(*), (SELECT count(*) FROM journey_actions WHERE state IN ('proposed', 'held'))
        + (SELECT count(*) FROM journey_action_states WHERE revocation = 'pending') FROM client_journey_events
      """
    var last: [String] = []
    try await eventually(
      "\(events) events and all actions published", within: limit,
      state: { "Events, unpublished actions: \(last). \(child?.standardError.suffix(3000) ?? "")" }
    ) {
      last = try await rows(counts)[0]
      return last == ["\(events)", "0"]
    }
    try await eventually("an empty ingest queue") { try await admin.messageCount(queue: "journey.ingest") == 0 }
  }
}
