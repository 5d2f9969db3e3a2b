import AMQPClient
import Journey
import JourneyAMQP
import JourneyConfiguration
import Logging
import ServiceLifecycle

/// Runs a forwarder until the stop.
struct ForwardingService: Service {
  let forwarder: QueueForwarder

  func run() async throws {
    forwarder.start()
    try? await gracefulShutdown()
    await forwarder.close(within: .seconds(2))
  }

  /// For the outcomes, and for the actions for people if the page's list reads them.
  static func all(
    _ settings: JourneyConfiguration.Settings, _ publisher: AMQPPublisher, _ clock: any WallClock, _ logger: Logger
  ) throws -> [ForwardingService] {
    let names = settings.messagingNames
    let forwarding = OutcomeForwarding(
      names: names, own: OwnMessages(names: names, user: settings.brokerUser, others: settings.otherBrokerUsers),
      clock: clock)
    let outcomes = QueueForwarder(
      connection: try settings.broker("outcomes"), queue: names.outcomes, publisher: publisher, logger: logger,
      transform: forwarding.message)
    guard settings.actions.listsHuman else { return [ForwardingService(forwarder: outcomes)] }
    let human = QueueForwarder(
      connection: try settings.broker("human"), queue: names.actionQueue("human"), publisher: publisher,
      // A worker of somebody's own, who has not switched this off, comes first.
      arguments: ["x-priority": -1], logger: logger, transform: forwarding.listed)
    return [outcomes, human].map { ForwardingService(forwarder: $0) }
  }
}
