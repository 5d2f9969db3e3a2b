import DeadLetters
import Journey
import JourneyPostgres
import Logging
import ServiceLifecycle

/// Deletes dead letters whose time is over: at the start, and then every hour.
struct DeadLetterSweep: Service {
  let retention: DeadLetterRetention
  let logger: Logger
  var interval = Duration.seconds(3600)

  func run() async throws {
    await cancelWhenGracefulShutdown {
      repeat {
        do throws(StoreError) {
          let deleted = try await retention.apply()
          if deleted != (0, 0) {
            logger.notice(
              "dead letters deleted, as their time is over",
              metadata: .fields([.closed: "\(deleted.closed)", .open: "\(deleted.open)"]))
          }
        } catch {
          logger.warning("dead letters whose time is over could not be deleted, trying again in an hour: \(error)")
        }
      } while (try? await Task.sleep(for: interval)) != nil
    }
  }
}
