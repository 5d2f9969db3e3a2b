import AMQPClient
import TestServers

/// A vhost of one's own on the shared broker.
struct BrokerFixture {
  let servers: TestServers
  let vhost: String
  let admin: AMQPAdmin

  init() async throws {
    servers = try await TestServers.shared()
    vhost = try await servers.makeVirtualHost()
    admin = AMQPAdmin(settings: try Self.settings(servers, vhost, "admin"))
  }

  private static func settings(_ servers: TestServers, _ vhost: String, _ name: String) throws -> AMQPConnectionSettings
  {
    var settings = try AMQPConnectionSettings(uri: servers.amqpURL(vhost: vhost), connectionName: "\(vhost) \(name)")
    settings.minReconnectDelay = .milliseconds(20)
    settings.maxReconnectDelay = .milliseconds(200)
    return settings
  }

  func settings(_ name: String) throws -> AMQPConnectionSettings { try Self.settings(servers, vhost, name) }

  func queue(_ name: String, _ arguments: FieldTable = [:]) async throws {
    _ = try await admin.declare(Topology(queues: [QueueDeclaration(name: name, arguments: arguments)]))
  }

  func consumer(
    _ queue: String, prefetch: UInt16 = 100, maxBatch: Int = 100, _ events: Recorder<ConsumerEvent>
  ) throws -> AMQPConsumer {
    let consumer = AMQPConsumer(
      settings: try settings("consumer"), queue: queue, prefetch: prefetch, maxBatch: maxBatch, consumerTag: "test"
    ) { events.record($0) }
    consumer.start()
    return consumer
  }

  func publisher(window: Int = 512, _ events: Recorder<PublisherEvent> = Recorder()) throws -> AMQPPublisher {
    let publisher = AMQPPublisher(settings: try settings("publisher"), window: window) { events.record($0) }
    publisher.start()
    return publisher
  }

  /// Has the broker end a connection, as an operator would. Those of other tests may end while they are asked for their
  /// names.
  func closeConnection(_ name: String) async throws {
    _ = try await servers.erlang(
      """
      [rabbit_networking:close_connection(P, "test") || P <- rabbit_networking:local_connections(), \
      {client_properties, C} <- try rabbit_reader:info(P, [client_properties]) catch _:_ -> [] end, \
      is_list(C), lists:keyfind(<<"connection_name">>, 1, C) =:= {<<"connection_name">>, longstr, <<"\(vhost) \(name)">>}]
      """)
  }

  /// Waits for a queue's ready count by asking again; the broker has no event for it.
  func messageCount(_ queue: String, reaches count: Int) async throws -> Bool {
    let deadline = ContinuousClock.now + .seconds(10)
    while ContinuousClock.now < deadline {
      if try await admin.messageCount(queue: queue) == count { return true }
      try await Task.sleep(for: .milliseconds(20))
    }
    return false
  }
}
