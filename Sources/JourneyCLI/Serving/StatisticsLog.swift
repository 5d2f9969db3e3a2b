import IngestPipeline
import Journey
import Logging
import ServiceLifecycle

/// Logs the counts now and then, when they have changed.
struct StatisticsLog: Service {
  let statistics: Statistics
  let unlisted: UnlistedEvents
  let interval: Int
  let logger: Logger

  func run() async throws {
    guard interval > 0 else { return try await gracefulShutdown() }
    await cancelWhenGracefulShutdown {
      var last = statistics.now
      while (try? await Task.sleep(for: .seconds(interval))) != nil {
        let now = statistics.now
        if now != last {
          logger.info("counts", metadata: statistics.metadata.merging(.fields([.unlisted: "\(unlisted.total)"])) { $1 })
        }
        last = now
      }
    }
  }
}
