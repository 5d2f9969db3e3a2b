import Logging
import ServiceLifecycle

/// Ends the process where a stop takes too long. It depends on nothing else going right; all that is cut off is done
/// again by the next instance.
struct DrainDeadline: Service {
  let deadline: Duration
  let logger: Logger

  func run() async throws {
    // A cancellation, because another service failed, ends the process as a signal does.
    try? await gracefulShutdown()
    Task.detached {
      try? await Task.sleep(for: deadline)
      logger.error("the stop took longer than pipeline.drainSeconds; what is unsettled will be delivered again")
      Program.end(1)
    }
  }
}
