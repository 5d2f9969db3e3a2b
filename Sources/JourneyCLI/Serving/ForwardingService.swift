import JourneyAMQP
import ServiceLifecycle

/// Runs a forwarder until the stop.
struct ForwardingService: Service {
  let forwarder: QueueForwarder

  func run() async throws {
    forwarder.start()
    try? await gracefulShutdown()
    await forwarder.close(within: .seconds(2))
  }
}
