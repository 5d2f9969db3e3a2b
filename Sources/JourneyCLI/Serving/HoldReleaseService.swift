import Journey
import JourneyPostgres
import Logging
import ServiceLifecycle

/// Decides again what was held, as soon as a hold has ended.
struct HoldReleaseService: Service {
  let release: HeldActionRelease
  let logger: Logger
  var interval = Duration.seconds(1)

  func run() async throws {
    await cancelWhenGracefulShutdown {
      var isFailing = false, lastRelease: ContinuousClock.Instant?
      while !Task.isCancelled {
        let begin = ContinuousClock.now
        var pause = interval
        do throws(StoreError) {
          if try await release.step() > 0 { lastRelease = .now }
          // The next clients are due a fraction of a second after the last. To look for them only at the interval would
          // release but a quarter of a hold's rate. At least as long as it took, so that it never takes more than half
          // of a connection's time.
          if let lastRelease, .now - lastRelease < interval { pause = max(.milliseconds(50), .now - begin) }
          isFailing = false
        } catch {
          // What a stop interrupts, the next instance goes on with.
          if !isFailing, !Task.isCancelled {
            logger.warning("what was held cannot be decided again, trying again: \(error)")
          }
          isFailing = true
        }
        try? await Task.sleep(for: pause)
      }
    }
  }
}
