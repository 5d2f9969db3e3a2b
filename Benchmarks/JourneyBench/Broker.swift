import AMQPClient
import Foundation

/// What the adapter produced from the events, so that the floor writes the same: the number of actions per channel,
/// their size, and an explanation of average size.
struct ActionMix: Codable {
  var email = 0
  var voice = 0
  var human = 0
  var scores = 0
  var bodyBytes = 0
  var explanation = ""

  var total: Int { email + voice + human }
}

/// The benchmark's own connections to the broker.
struct Broker {
  static let channels = ["email", "voice", "human"]
  let servers: Servers
  private let admin: AMQPAdmin
  private let publisher: AMQPPublisher

  init(_ servers: Servers) throws {
    self.servers = servers
    let settings = try AMQPConnectionSettings(uri: servers.amqpURL, connectionName: "benchmark")
    admin = AMQPAdmin(settings: settings)
    publisher = AMQPPublisher(settings: settings, window: 2048)
    publisher.start()
  }

  func close() async {
    await publisher.close()
    await admin.close()
  }

  func empty() async throws {
    for queue in ["journey.ingest", "journey.dead-letters"] + Self.channels.map({ "journey.actions.\($0)" }) {
      _ = try await admin.purge(queue: queue)
    }
  }

  /// Messages in the ingest queue that no program has consumed yet.
  func waiting() async throws -> Int { try await admin.messageCount(queue: "journey.ingest") }
  func deadLetters() async throws -> Int { try await admin.messageCount(queue: "journey.dead-letters") }

  func actions() async throws -> Int {
    var count = 0
    for channel in Self.channels { count += try await admin.messageCount(queue: "journey.actions.\(channel)") }
    return count
  }

  /// Publishes events with confirms, every hundredth of them twice.
  /// - Returns: the number of messages.
  func preload(_ events: Int, of workload: Workload) async throws -> Int {
    var workload = workload
    var sent = 0
    for start in stride(from: 0, to: events, by: 2000) {
      var chunk: [OutboundMessage] = []
      for index in start..<min(start + 2000, events) {
        chunk.append(workload.event(index))
        if index % 100 == 99 { chunk.append(chunk[chunk.count - 1]) }
      }
      guard await publisher.publish(chunk).allSatisfy(\.isConfirmed) else {
        throw BenchmarkError("the broker did not confirm the preloaded events")
      }
      sent += chunk.count
    }
    return sent
  }

  func publish(_ messages: [OutboundMessage]) async throws {
    guard await publisher.publish(messages).allSatisfy(\.isConfirmed) else {
      throw BenchmarkError("the broker did not confirm all messages")
    }
  }

  /// Sends a message without waiting for its confirm, so that an open loop does not slow down.
  func send(_ message: OutboundMessage) { publisher.publish([message]) { _ in } }

  /// Counts the actions in the queues. The broker counts them, so the sizes are those of real messages.
  func mix() async throws -> ActionMix {
    var mix = ActionMix()
    mix.email = try await admin.messageCount(queue: "journey.actions.email")
    mix.voice = try await admin.messageCount(queue: "journey.actions.voice")
    mix.human = try await admin.messageCount(queue: "journey.actions.human")
    var bytes = 0
    var sampled = 0
    // A sample is enough: bodies differ only in names and reasons.
    for channel in Self.channels {
      for _ in 0..<200 {
        guard let delivery = try await admin.get(queue: "journey.actions.\(channel)") else { break }
        bytes += delivery.bodySize * (channel == "email" ? mix.email : channel == "voice" ? mix.voice : mix.human)
        sampled += channel == "email" ? mix.email : channel == "voice" ? mix.voice : mix.human
      }
    }
    mix.bodyBytes = sampled == 0 ? 0 : bytes / sampled
    return mix
  }
}
