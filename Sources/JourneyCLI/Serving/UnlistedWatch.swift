import Journey
import JourneyPostgres
import Logging
import ServiceLifecycle

/// Stores which event types no rule names: every ten seconds, and at the end.
struct UnlistedWatch: Service {
  let unlisted: UnlistedEvents
  let repository: UnlistedRepository
  let logger: Logger
  var interval = Duration.seconds(10)

  func run() async throws {
    await cancelWhenGracefulShutdown {
      while (try? await Task.sleep(for: interval)) != nil { await store() }
    }
    await store()
  }

  private func store() async {
    let types = unlisted.removeAll()
    if types.isEmpty { return }
    for type in types where type.sample != nil {
      logger.notice(
        "no rule names this event type: it is passed by (journey mappings unlisted)",
        metadata: ["source": "\(type.source.plain())", "type": "\(type.type.plain())"])
    }
    do throws(StoreError) {
      try await repository.add(types)
    } catch {
      unlisted.restore(types)
      logger.warning("unlisted event types could not be stored, trying again: \(error)")
    }
  }
}
