import AMQPClient
import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// A workload that is sent to the adapter while a fault is injected, with the check of its result.
///
/// Used by one test. Like a source it sends every message again until the broker confirms it.
final class FaultRun {
  struct Setup {
    var events = 600
    var profile = Profile.literal
    /// nil: the shared servers.
    var servers: TestServers?
    /// Whether the adapter reaches its servers through proxies.
    var isProxied = false
    /// Further settings. Batches are small, so that all points are passed often.
    var settings: [String: String] = [:]
    /// Appended to the broker's URL, such as `?heartbeat=1`.
    var brokerQuery = ""
    /// The PgBouncer mode in front of the database; nil: no pooler.
    var pooling: TestServers.Pooling?
    /// Message bodies are padded to this size.
    var bodyBytes = 0
    /// Whether valid events may become dead letters, which are replayed. That happens if the program is killed more
    /// often than the delivery limit.
    var mayGiveUp = true
    var change: (inout Workload, inout SeededRandom) -> Void = { _, _ in }
  }

  let environment: TestEnvironment
  private(set) var workload: Workload
  let setup: Setup
  var random: SeededRandom
  let amqp: FaultProxy?
  let postgres: FaultProxy?
  private let databaseURL: String
  /// Clients outside the workload, which are deleted in the end. Their messages are ignored.
  var outsiders: Set<String> = []
  private var waiting: [OutboundMessage]
  /// The bodies of events that were sent at least once.
  private var sent: Set<[UInt8]> = []
  private var unmappable = 0
  private(set) var programs: [ChildProcess] = []
  var messagesSent = 0

  private init(
    _ environment: TestEnvironment, _ workload: Workload, _ setup: Setup, databaseURL: String, _ random: SeededRandom
  ) throws {
    self.environment = environment
    self.workload = workload
    self.setup = setup
    self.random = random
    self.databaseURL = databaseURL
    waiting = workload.messages(&self.random).map { $0.filled(to: setup.bodyBytes) }
    amqp = setup.isProxied ? try FaultProxy(to: try Self.port(of: environment.servers.amqpURL()), .amqp) : nil
    postgres = setup.isProxied ? try FaultProxy(to: try Self.port(of: environment.databaseURL), .postgres) : nil
  }

  /// Sets up, runs `body`, lets the adapter finish, and adds the result to the row.
  static func run(_ row: Row, _ setup: Setup, _ random: inout SeededRandom, _ body: (FaultRun) async throws -> Void)
    async throws
  {
    var workload = Workload(events: setup.events, &random)
    setup.change(&workload, &random)
    var draws = random
    defer { random = draws }
    try await TestEnvironment.with(servers: setup.servers) { environment in
      try await workload.seed(environment)
      var databaseURL = environment.logins.databaseURL
      if let pooling = setup.pooling { databaseURL = try await environment.servers.pooled(databaseURL, pooling) }
      let faultRun = try FaultRun(environment, workload, setup, databaseURL: databaseURL, draws)
      defer {
        faultRun.amqp?.close()
        faultRun.postgres?.close()
        draws = faultRun.random
      }
      try await body(faultRun)
      try await faultRun.finish(row)
    }
  }

  private static func port(of url: String) throws -> Int { try #require(URLComponents(string: url)?.port, "\(url)") }

  // MARK: Source

  /// Sends the next events, and some messages that must become dead letters. Returns when the broker has confirmed all
  /// of them.
  ///
  /// - Parameter poisoned: whether one of these is an event that only the database refuses.
  func publish(_ count: Int = .max, unmappable unmappableCount: Int = 2, poisoned: Bool = false) async throws {
    var open = Array(waiting.prefix(count))
    waiting.removeFirst(open.count)
    for message in open { sent.insert(message.body) }
    if poisoned { open.insert(poison(), at: Int.random(in: 0...open.count, using: &random)) }
    for _ in 0..<unmappableCount {
      open.insert(unmappableMessage(), at: Int.random(in: 0...open.count, using: &random))
    }
    try await deliver(open)
  }

  /// Sends all events again, as a source does that got no confirms.
  func publishAgain() async throws {
    try await deliver(workload.messages(duplicates: 0, &random).filter { sent.contains($0.body) })
  }

  /// What the adapter has signed is sent unsigned: its user is not the source's.
  func deliver(_ messages: [OutboundMessage]) async throws {
    messagesSent += messages.count
    var open = messages
    for index in open.indices { open[index].properties.userID = nil }
    let end = ContinuousClock.now + .seconds(120)
    while !open.isEmpty {
      let outcomes = await environment.publisher.publish(open)
      open = zip(open, outcomes).filter { !$1.isConfirmed }.map(\.0)
      guard ContinuousClock.now < end else {
        let last = outcomes.first { !$0.isConfirmed }.map { "\($0)" } ?? ""
        throw Timeout(description: "the broker did not confirm \(open.count) messages of the source: \(last)")
      }
      if !open.isEmpty { try await Task.sleep(for: .milliseconds(100)) }
    }
  }

  var hasMore: Bool { !waiting.isEmpty }

  /// The number of different events sent so far.
  var sentEvents: Int { sent.count }

  /// Changes the order of the events that are not sent yet.
  func shuffle() { waiting.shuffle(using: &random) }

  /// Adds clients and events. The events are sent next, grouped by client.
  func add(_ clients: [WorkloadClient], _ events: [WorkloadEvent]) async throws {
    try await Workload.seed(clients, environment)
    workload.clients += clients
    workload.events += events
    let messages = events.map(\.message)
    for message in messages { sent.insert(message.body) }
    try await deliver(messages)
  }

  private func unmappableMessage() -> OutboundMessage {
    unmappable += 1
    let client = workload.clients[unmappable % workload.clients.count]
    let id = "unmappable_\(unmappable)"
    let body =
      unmappable % 2 == 0
      ? #"{"specversion":"1.0","id":"\#(id)","source":"/crm","type":"no_such_type","time":"2026-01-01T00:00:00Z","#
        + #""subject":"\#(client.id)","orgid":"\#(client.org)","data":{}}"#
      : #"{"specversion":"1.0","id":"\#(id)","source"#
    return OutboundMessage(
      exchange: "journey.events", routingKey: "test.unmappable",
      properties: MessageProperties(contentType: "application/cloudevents+json", messageID: id), body: Array(body.utf8))
  }

  private func poison() -> OutboundMessage {
    unmappable += 1
    var event = workload.events[0]
    event.id = "poison_\(unmappable)"
    var message = event.message
    message.properties.messageID = "unmappable_\(unmappable)"
    return message
  }

  // MARK: The adapter

  /// Starts the adapter without waiting for it.
  func start(_ more: [String: String] = [:]) throws -> ChildProcess {
    var settings = [
      "PIPELINE_WORKERS": "2", "PIPELINE_BATCH_SIZE": "20", "INGEST_PREFETCH": "100", "DEAD_LETTERS_ARCHIVE": "true",
      "LOG_STATISTICS_SECONDS": "0",
      "AMQP_URL": environment.logins.amqpURL.replacing(port: amqp?.port) + setup.brokerQuery,
      "DATABASE_URL": databaseURL.replacing(port: postgres?.port) + (postgres == nil ? "" : "?sslmode=disable"),
    ]
    settings.merge(setup.settings) { $1 }
    settings.merge(more) { $1 }
    let program = try environment.start(["serve", "--config", setup.profile.configuration], environment: settings)
    programs.append(program)
    return program
  }

  /// Starts the adapter and waits until it consumes.
  @discardableResult
  func serve(_ more: [String: String] = [:]) async throws -> ChildProcess {
    let program = try start(more)
    try await eventually("serve's consuming", state: { program.standardError }) {
      if let ending = program.ending {
        throw Timeout(description: "serve ended at once by \(ending): \(program.standardError)")
      }
      return program.standardError.contains("consuming")
    }
    return program
  }

  func stored() async throws -> Int { try await environment.number("SELECT count(*) FROM client_journey_events") }

  /// Waits until more events are stored, by a random number in `count`, or all events that were sent. Retries while the
  /// database is down.
  func progress(by count: ClosedRange<Int> = 10...80, within limit: Duration = .seconds(90)) async throws {
    let before = try await patiently { try await self.stored() }
    let target = min(before + Int.random(in: count, using: &random), sentEvents)
    try await eventually("\(target) stored events", within: limit, state: { self.logs }) {
      ((try? await self.stored()) ?? 0) >= target
    }
  }

  /// Retries a query while its server is down.
  func patiently<Value>(within limit: Duration = .seconds(60), _ question: () async throws -> Value) async throws
    -> Value
  {
    let end = ContinuousClock.now + limit
    while true {
      do {
        return try await question()
      } catch {
        guard ContinuousClock.now < end else { throw error }
        try await Task.sleep(for: .milliseconds(50))
      }
    }
  }

  /// The logs of the running programs, for failure messages.
  var logs: String {
    programs.filter { $0.ending == nil }.map { String($0.standardError.suffix(3000)) }.joined(separator: "\n--\n")
  }

  // MARK: Finishing

  /// Sends the rest, waits until all work is done, stops the adapter, and compares.
  private func finish(_ row: Row) async throws {
    if hasMore { try await publish() }
    if !programs.contains(where: { $0.ending == nil }) { try await serve() }
    let running = programs.filter { $0.ending == nil }
    if setup.mayGiveUp { try await replayGivenUp() }
    try await environment.settles(events: workload.events.count, within: .seconds(150), running.first)
    try await eventually("\(unmappable) dead letters in the archive", within: .seconds(60), state: { self.logs }) {
      try await self.environment.number(
        "SELECT count(DISTINCT message_id) FROM journey_dead_letters WHERE message_id LIKE 'unmappable%'")
        >= self.unmappable
    }
    for program in running { try await environment.stop(program) }
    try await takeCopies()
    let deadLetters = try await environment.rows(
      "SELECT message_id, count(*), min(code) FROM journey_dead_letters WHERE message_id LIKE 'unmappable%' GROUP BY 1")
    #expect(
      deadLetters.allSatisfy { $0[1] == "1" && ["malformed", "unknown_type", "refused_by_database"].contains($0[2]) },
      "\(deadLetters)")
    let open = try await environment.rows(
      "SELECT code, state FROM journey_dead_letters WHERE message_id IS NULL"
        + (setup.mayGiveUp ? " AND state <> 'replayed'" : ""))
    #expect(open.isEmpty, "good events among the dead letters: \(open)")
    let all = try await environment.number("SELECT count(*) FROM journey_dead_letters")
    let found = try await Invariants(environment, workload, setup.profile, outsiders: outsiders).check()
    row.add(found, sent: messagesSent, deadLetters: all, lostDeadLetters: unmappable - deadLetters.count)
  }

  /// A copy of a stored event that the broker delivered just as the program stopped is in the queue again.
  private func takeCopies() async throws {
    guard try await environment.admin.messageCount(queue: "journey.ingest") > 0 else { return }
    let program = try await serve()
    try await eventually("an empty ingest queue", state: { self.logs }) {
      try await self.environment.admin.messageCount(queue: "journey.ingest") == 0
    }
    try await environment.stop(program)
  }

  /// After many kills the broker dead-letters valid events (delivery limit). An operator replays them.
  private func replayGivenUp() async throws {
    let aborted = "SELECT count(*) FROM journey_dead_letters WHERE code = 'delivery_limit' AND state = 'new'"
    try await eventually("all events stored or given up by the broker", within: .seconds(150), state: { self.logs }) {
      if try await self.stored() >= self.workload.events.count { return true }
      guard try await self.environment.admin.messageCount(queue: "journey.ingest") == 0,
        try await self.environment.number(aborted) > 0
      else { return false }
      try await self.environment.succeed(["dlq", "replay", "--code", "delivery_limit", "--reason", "killed too often"])
      return false
    }
  }
}

extension OutboundMessage {
  /// Pads the body with spaces, which JSON ignores.
  fileprivate func filled(to bytes: Int) -> OutboundMessage {
    var message = self
    if body.count < bytes { message.body += [UInt8](repeating: UInt8(ascii: " "), count: bytes - body.count) }
    return message
  }
}

extension String {
  /// A URL with its port replaced.
  func replacing(port: Int?) -> String {
    guard let port, var url = URLComponents(string: self) else { return self }
    url.port = port
    return url.string ?? self
  }
}
