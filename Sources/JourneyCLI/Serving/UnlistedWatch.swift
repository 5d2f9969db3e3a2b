import Journey
import JourneyPostgres
import Logging
import ServiceLifecycle

/// Stores which event types no rule names: every ten seconds, and at the end. Deletes old samples every hour.
struct UnlistedWatch: Service {
  let unlisted: UnlistedEvents
  let repository: UnlistedRepository
  let logger: Logger
  var interval = Duration.seconds(10)

  func run() async throws {
    await cancelWhenGracefulShutdown {
      var nextForgetting = ContinuousClock.now
      while (try? await Task.sleep(for: interval)) != nil {
        await store()
        if nextForgetting <= .now, await forget() { nextForgetting = .now + .seconds(3600) }
      }
    }
    await store()
  }

  private func store() async {
    let types = unlisted.removeAll()
    if types.isEmpty { return }
    for type in types where type.isFirst {
      logger.notice(
        "no rule names this event type: it is passed by (journey mappings unlisted)",
        metadata: .fields([.source: type.source, .type: type.type]))
    }
    do throws(StoreError) {
      try await repository.add(types)
    } catch {
      unlisted.restore(types)
      logger.warning("unlisted event types could not be stored, trying again: \(error)")
    }
  }

  private func forget() async -> Bool {
    do throws(StoreError) {
      try await repository.forget()
      return true
    } catch {
      logger.warning("old samples of unlisted event types could not be deleted, trying again: \(error)")
      return false
    }
  }
}
