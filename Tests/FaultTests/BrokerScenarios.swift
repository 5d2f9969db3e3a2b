import AMQPClient
import Foundation
import Synchronization
import TestServers
import Testing

@testable import TestSupport

/// Faults of the broker: restarts, lost nodes, deleted queues, full queues, delivery timeouts.
extension Scenario {
  static var brokers: [Scenario] {
    [
      Scenario("broker-stopped", long: 4) { row, rounds, random in
        try await away(row, rounds, &random) { try await $0.stop(.rabbitmq) }
      },
      Scenario("broker-killed", long: 6) { row, rounds, random in
        try await away(row, rounds, &random) { try await $0.kill(.rabbitmq) }
      },
      Scenario("cluster-nodes-killed-leader-first", long: 7, clusterNodesKilled),
      Scenario("queue-deleted", short: 2, long: 10, queuesDeleted),
      Scenario("action-queue-full", short: 2, long: 5, actionQueueFull),
      Scenario("ackTimeout406", short: 1, long: 3, ackTimeout),
    ]
  }

  private static func away(
    _ row: Row, _ rounds: Int, _ random: inout SeededRandom, _ inject: (TestServers) async throws -> Void
  ) async throws {
    let servers = try await TestServers.dedicated()
    let setup = FaultRun.Setup(events: rounds * 200, servers: servers, settings: ["AMQP_RECONNECT_SECONDS": "2"])
    try await FaultRun.run(row, setup, &random) { faultRun in
      let program = try await faultRun.serve()
      for _ in 0..<rounds {
        try await faultRun.publish(150)
        try await faultRun.progress(by: 1...100)
        let lost = program.standardError.occurrences(of: "the ingest queue is lost")
        try await inject(servers)
        try await eventually("a lost broker", state: { program.standardError }) {
          program.standardError.occurrences(of: "the ingest queue is lost") > lost
        }
        try await servers.start(.rabbitmq)
        try await faultRun.publish(45)
        try await faultRun.progress(by: 30...45)
      }
      #expect(program.ending == nil, "\(program.standardError)")
    }
    try await servers.stop()
  }

  /// A cluster of three nodes: first the leader's node is killed, then the others in turn.
  private static func clusterNodesKilled(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    let servers = try await TestServers.replicated(brokers: 3)
    let setup = FaultRun.Setup(events: rounds * 240, servers: servers, settings: ["AMQP_RECONNECT_SECONDS": "2"])
    try await FaultRun.run(row, setup, &random) { faultRun in
      let program = try await faultRun.serve()
      for round in 0..<rounds {
        try await faultRun.publish(180)
        try await faultRun.progress(by: 1...80)
        let leader = try await servers.erlang(
          "begin {ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"\(faultRun.environment.vhost)\">>, queue, <<\"journey.ingest\">>)), "
            + "element(2, amqqueue:get_pid(Q)) end")
        let nodes = try await servers.brokerNodes()
        let first = try #require(nodes.firstIndex { leader.contains($0) }, "\(leader) \(nodes)")
        let member = round == 0 ? first : (first + round) % nodes.count
        try await servers.killBroker(member)
        // Two of three nodes form a majority.
        try await faultRun.publish(50)
        try await faultRun.progress(by: 40...40, within: .seconds(120))
        try await servers.startBroker(member)
      }
      #expect(program.ending == nil, "\(program.standardError)")
    }
    try await servers.stop()
  }

  /// An operator deletes queues by mistake and declares them again. The messages in the ingest queue are lost, so the
  /// sources send everything again. Actions that found no queue are published later.
  private static func queuesDeleted(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    let setup = FaultRun.Setup(events: rounds * 160, settings: ["AMQP_RECONNECT_SECONDS": "1"])
    try await FaultRun.run(row, setup, &random) { faultRun in
      let program = try await faultRun.serve()
      for round in 0..<rounds {
        try await faultRun.publish(100, unmappable: 0)
        try await faultRun.progress(by: 1...60)
        if round % 2 == 0 {
          let lost = program.standardError.occurrences(of: "the ingest queue is lost")
          try await faultRun.delete(queue: "journey.ingest")
          try await eventually("a lost queue", state: { program.standardError }) {
            program.standardError.occurrences(of: "the ingest queue is lost") > lost
          }
          try await faultRun.environment.succeed(["topology", "apply"])
          try await faultRun.publishAgain()
        } else {
          // All actions must be published first: deleting the queue would lose them.
          try await faultRun.environment.settles(events: faultRun.sentEvents, program)
          let taken = try await faultRun.environment.drain("journey.actions.voice")
          try await faultRun.delete(queue: "journey.actions.voice")
          try await faultRun.publish(55, unmappable: 0)
          try await faultRun.progress(by: 30...30)
          try await faultRun.environment.succeed(["topology", "apply"])
          // The consumed messages go back to the queue where the comparison expects them.
          try await faultRun.deliver(
            taken.map {
              OutboundMessage(
                exchange: "journey.actions", routingKey: $0.routingKey, properties: $0.properties, body: $0.body)
            })
        }
      }
      #expect(program.ending == nil, "\(program.standardError)")
    }
  }

  /// The broker refuses actions because a queue is full, as with a full disk, until consumers take messages or the
  /// limit is removed.
  private static func actionQueueFull(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    try await FaultRun.run(row, .init(events: rounds * 160), &random) { faultRun in
      let program = try await faultRun.serve()
      let vhost = faultRun.environment.vhost
      func lift() async throws {
        try await faultRun.environment.servers.erlang(
          "rabbit_policy:delete(<<\"\(vhost)\">>, <<\"full\">>, <<\"test\">>)")
      }
      for round in 0..<rounds {
        try await faultRun.environment.servers.erlang(
          "rabbit_policy:set(<<\"\(vhost)\">>, <<\"full\">>, <<\"^journey.actions\">>, "
            + "[{<<\"max-length\">>, 5}, {<<\"overflow\">>, <<\"reject-publish\">>}], 0, <<\"queues\">>, <<\"test\">>)")
        let refused = program.standardError.occurrences(of: "actions were not published")
        try await faultRun.publish(155)
        try await eventually("refused actions", state: { program.standardError }) {
          program.standardError.occurrences(of: "actions were not published") > refused
        }
        if round % 2 == 0 {
          try await faultRun.work(
            during: { try await faultRun.environment.settles(events: faultRun.sentEvents, program) }, before: lift)
        } else {
          // The queues stay full.
          try await lift()
          try await faultRun.environment.settles(events: faultRun.sentEvents, program)
        }
      }
    }
  }

  /// The database is frozen for longer than the broker's delivery timeout. The broker closes the channel with 406, and
  /// nothing is lost.
  private static func ackTimeout(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    let servers = try await TestServers.dedicated()
    try await servers.erlang(
      "[application:set_env(rabbit, Key, Value) || {Key, Value} <- [{consumer_timeout, 2000}, {channel_tick_interval, 500}]]"
    )
    try await FaultRun.run(row, .init(events: rounds * 150, servers: servers), &random) { faultRun in
      let program = try await faultRun.serve()
      for _ in 0..<rounds {
        try await faultRun.publish(100)
        try await faultRun.progress(by: 1...50)
        let lost = program.standardError.occurrences(of: "PRECONDITION_FAILED")
        try await servers.pause(.postgres)
        try await faultRun.publish(45)
        try await eventually("406", within: .seconds(20), state: { program.standardError }) {
          program.standardError.occurrences(of: "PRECONDITION_FAILED") > lost
        }
        try await servers.resume(.postgres)
        try await faultRun.progress(by: 20...20)
      }
      #expect(program.ending == nil, "\(program.standardError)")
    }
    try await servers.stop()
  }
}

extension FaultRun {
  /// Consumes actions during `body`, and puts them back for the comparison.
  fileprivate func work(during body: () async throws -> Void, before puttingBack: () async throws -> Void) async throws
  {
    let workers = try ["email", "voice", "human"].map { try Worker(environment, "journey.actions.\($0)") }
    try await body()
    var taken: [Delivery] = []
    for worker in workers { taken += await worker.stop() }
    try await puttingBack()
    try await deliver(
      taken.map {
        OutboundMessage(
          exchange: "journey.actions", routingKey: $0.routingKey, properties: $0.properties, body: $0.body)
      })
    messagesSent -= taken.count
  }

  fileprivate func delete(queue: String) async throws {
    try await environment.servers.erlang(
      "begin {ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"\(environment.vhost)\">>, queue, <<\"\(queue)\">>)), "
        + "rabbit_amqqueue:delete(Q, false, false, <<\"test\">>) end")
  }
}

/// Consumes and acknowledges all messages.
private final class Worker: Sendable {
  private struct State {
    var taken: [Delivery] = []
    var consumer: AMQPConsumer?
  }
  private final class Shared: Sendable { let state = Mutex(State()) }
  private let shared = Shared()

  init(_ environment: TestEnvironment, _ queue: String) throws {
    let settings = try AMQPConnectionSettings(
      uri: environment.servers.amqpURL(vhost: environment.vhost), connectionName: "test worker")
    let consumer = AMQPConsumer(settings: settings, queue: queue, prefetch: 100, maxBatch: 100, consumerTag: "worker") {
      [shared] event in
      guard case .deliveries(let deliveries) = event else { return }
      shared.state.withLock { $0.taken += deliveries }
      shared.state.withLock(\.consumer)?.settle(deliveries.map { .ack($0.tag) })
    }
    shared.state.withLock { $0.consumer = consumer }
    consumer.start()
  }

  func stop() async -> [Delivery] {
    let consumer = shared.state.withLock { state in
      defer { state.consumer = nil }
      return state.consumer
    }
    await consumer?.close()
    return shared.state.withLock(\.taken)
  }
}
