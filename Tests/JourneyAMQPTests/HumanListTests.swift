import AMQPClient
import Foundation
import Journey
import Logging
import TestServers

import Testing

@testable import JourneyAMQP
@testable import TestSupport

/// Actions for people are reported as delivered, once each, and none is lost. On a real broker.
@Suite(.timeLimit(.minutes(3))) struct HumanListTests {
  private let names = MessagingNames()
  private let queue = "journey.actions.human"
  private let org = "11111111-2222-4333-8444-555555555555"

  private func message(_ type: String, _ id: String, body: String? = nil) -> OutboundMessage {
    OutboundMessage(
      exchange: names.actions, routingKey: "human.schedule_meeting.high",
      properties: MessageProperties(messageID: id, type: type), body: Array((body ?? #"{"orgid":"\#(org)"}"#).utf8))
  }

  private func until(_ what: String, _ condition: () async throws -> Bool) async throws {
    try await eventually(what, within: .seconds(20), condition)
  }

  @Test func eachActionIsReportedBeforeItsMessageIsGone() async throws {
    let servers = try await TestServers.shared()
    let vhost = try await servers.makeVirtualHost()
    let settings = try AMQPConnectionSettings(uri: servers.amqpURL(vhost: vhost), connectionName: "test")
    let admin = AMQPAdmin(settings: settings), test = AMQPPublisher(settings: settings)
    _ = try await admin.declare(names.topology)
    // As the service's user, which may do no more than this.
    let roles = BrokerRoles(names, virtualHost: vhost).service
    let url = try await servers.allow(
      vhost, in: vhost, configure: roles.configure, write: roles.write, read: roles.read)
    let service = try AMQPConnectionSettings(uri: url, connectionName: "human")
    let publisher = AMQPPublisher(settings: service)
    test.start()
    publisher.start()
    let list = { @Sendable in
      HumanListConsumer(
        connection: service, publisher: publisher, names: names, clock: SystemClock(),
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    // The broker has no place for reports: the actions stay in their queue.
    let actions = (0..<250).map { _ in UUID().uuidString.lowercased() }
    try await admin.unbind(Binding(queue: names.outcomes, exchange: names.outcomes, routingKey: "#"))
    let published = await test.publish(actions.map { message(ActionEvent.type, $0) })
    #expect(published.filter(\.isConfirmed).count == 250)
    let first = Task { await list().run() }
    try await until("a consumer") { try await admin.states(of: [queue])[queue]?.consumers ?? 0 > 0 }
    try await until("deliveries") { try await admin.messageCount(queue: queue) < 250 }
    first.cancel()
    await first.value
    #expect(try await admin.messageCount(queue: queue) == 250)

    _ = try await admin.declare(names.topology)
    let second = Task { await list().run() }
    let others = [
      message(RevocationEvent.type, "\(actions[0])/revoked"), message("foreign", "x"),
      message(ActionEvent.type, "no uuid"), message(ActionEvent.type, UUID().uuidString, body: "{"),
    ]
    #expect(await test.publish(others).allSatisfy(\.isConfirmed))
    // 250 reports, and the three that are no actions as dead letters of their queue.
    try await until("all outcomes") { try await admin.messageCount(queue: names.outcomes) == 253 }
    try await until("an empty queue") { try await admin.messageCount(queue: queue) == 0 }
    second.cancel()
    await second.value
    #expect(try await admin.messageCount(queue: queue) == 0, "nothing was unsettled")

    var reported: [String] = [], dead: [String] = []
    while let delivery = try await admin.get(queue: names.outcomes) {
      guard delivery.routingKey == "human.delivered" else {
        #expect(delivery.routingKey == "dead.human")
        dead.append(delivery.properties.messageID ?? "")
        continue
      }
      let body = try JSONDocument(parsing: delivery.body).root
      let action = try #require(body["data"]?["actionId"]?.string)
      reported.append(action)
      #expect(body["id"]?.string == "\(action)/delivered" && delivery.properties.messageID == "\(action)/delivered")
      #expect(body["type"]?.string == "journey.action.outcome.v1" && body["data"]?["outcome"]?.string == "delivered")
      #expect(body["orgid"]?.string == org && delivery.properties.userID == vhost)
    }
    #expect(reported.sorted() == actions.sorted())
    #expect(dead.count == 3 && dead.contains("x") && dead.contains("no uuid"))
    await publisher.close()
    await test.close()
    await admin.close()
  }
}
