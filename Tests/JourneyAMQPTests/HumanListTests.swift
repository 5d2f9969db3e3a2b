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

  private func message(_ type: String, _ id: String, body: String? = nil, by user: String? = nil) -> OutboundMessage {
    OutboundMessage(
      exchange: names.actions, routingKey: "human.schedule_meeting.high",
      properties: MessageProperties(messageID: id, type: type, userID: user),
      body: Array((body ?? #"{"id":"\#(id)","orgid":"\#(org)"}"#).utf8))
  }

  private func until(_ what: String, _ condition: () async throws -> Bool) async throws {
    try await eventually(what, within: .seconds(60), condition)
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
    func start() -> QueueForwarder {
      let forwarding = OutcomeForwarding(
        names: names, own: OwnMessages(names: names, user: vhost, others: [settings.user]), clock: SystemClock())
      let list = QueueForwarder(
        connection: service, queue: queue, publisher: publisher,
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, transform: forwarding.listed)
      list.start()
      return list
    }

    // No queue takes the reports: the actions stay in their own.
    let actions = (0..<250).map { _ in UUID().uuidString.lowercased() }
    try await admin.unbind(Binding(queue: names.ingest, exchange: names.retry, routingKey: names.ingest))
    let published = await test.publish(actions.map { message(ActionEvent.type, $0, by: settings.user) })
    #expect(published.filter(\.isConfirmed).count == 250)
    let first = start()
    try await until("deliveries") { try await admin.messageCount(queue: queue) < 250 }
    await first.close(within: .seconds(5))
    try await until("all back in their queue") { try await admin.messageCount(queue: queue) == 250 }

    _ = try await admin.declare(names.topology)
    let second = start()
    let others = [
      message(RevocationEvent.type, "\(actions[0])/revoked"), message("foreign", "x"),
      message(ActionEvent.type, "unreadable", body: "{", by: settings.user),
      message(ActionEvent.type, UUID().uuidString.lowercased()),
    ]
    #expect(await test.publish(others).filter(\.isConfirmed).count == 4)
    // 251 reports, of which one is of an action of an earlier version, and what is no action.
    try await until("all reports") { try await admin.messageCount(queue: names.ingest) >= 253 }
    try await until("an empty queue") { try await admin.messageCount(queue: queue) == 0 }
    await second.close(within: .seconds(5))
    #expect(try await admin.messageCount(queue: queue) == 0, "nothing was unsettled")

    var reported: [String] = [], rest: [String?] = []
    while let delivery = try await admin.get(queue: names.ingest) {
      guard delivery.properties.type == OutcomeEvent.type else {
        rest.append(delivery.properties.messageID)
        continue
      }
      let body = try JSONDocument(parsing: delivery.body).root
      let action = try #require(body["data"]?["actionId"]?.string)
      reported.append(action)
      let id = try #require(body["id"]?.string)
      #expect(id.hasPrefix("\(action)/delivered/") && delivery.properties.messageID == id)
      #expect(body["data"]?["outcome"]?.string == "delivered" && body["orgid"]?.string == org)
      #expect(delivery.properties.userID == vhost)
    }
    // A report whose confirm came too late is repeated.
    #expect(Set(reported) == Set(actions + others[3...].compactMap(\.properties.messageID)))
    #expect(rest == ["x", "unreadable"])
    await publisher.close()
    await test.close()
    await admin.close()
  }
}
