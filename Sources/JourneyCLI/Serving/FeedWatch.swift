import IngestPipeline
import Journey
import JourneyPostgres
import Logging
import ServiceLifecycle

/// Stores every minute which feeds were heard, and says which fell silent or speak again.
struct FeedWatch: Service {
  let store: PostgresEventStore
  /// Whether this instance consumes.
  let isListening: @Sendable () -> Bool
  let logger: Logger
  var interval = Duration.seconds(60)

  func run() async throws {
    await cancelWhenGracefulShutdown {
      repeat { await update() } while (try? await Task.sleep(for: interval)) != nil
    }
    await update()
  }

  private func update() async {
    do throws(StoreError) {
      let changes = try await store.updateFeeds(isListening: isListening())
      for (feed, since) in changes.frozen {
        logger.warning(
          "a feed fell silent: risks that come from silence are frozen for its organisation (journey feeds list)",
          metadata: feed.fields.merging(.fields([.reason: "silent since \(since.iso8601)"])) { $1 })
      }
      for feed in changes.released {
        logger.notice("a feed is not frozen any more", metadata: feed.fields)
      }
    } catch {
      logger.warning("the feeds that were heard could not be stored, trying again: \(error)")
    }
  }
}

extension Feed {
  fileprivate var fields: Logger.Metadata { .fields([.org: orgID.text, .source: source.line(80)]) }
}
