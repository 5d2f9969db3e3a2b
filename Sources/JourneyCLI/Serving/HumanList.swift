import AMQPClient
import Journey
import JourneyAMQP
import JourneyConfiguration
import Logging
import ServiceLifecycle

/// Reports actions for people as delivered, as long as the adapter runs.
struct HumanList: Service {
  private let consumer: HumanListConsumer

  /// nil: a worker of somebody's own reads them.
  init?(_ settings: JourneyConfiguration.Settings, _ publisher: AMQPPublisher, _ clock: any WallClock, _ logger: Logger)
    throws
  {
    guard settings.actions.listsHuman else { return nil }
    consumer = HumanListConsumer(
      connection: try settings.broker("human"), publisher: publisher, names: settings.messagingNames, clock: clock,
      logger: logger)
  }

  func run() async throws { await cancelWhenGracefulShutdown { await consumer.run() } }
}
