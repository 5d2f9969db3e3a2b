import FoundationEssentials
import PostgresClient
import Synchronization

/// The outbox batches that this process is publishing: from before their COMMIT until their publication is recorded.
///
/// A batch in the table that carries this process's number but is not listed here was orphaned: the answer to its
/// COMMIT was lost, or a claim failed halfway. The next claim picks it up.
final class OutboxClaims: Sendable {
  private let claimed = Mutex<Set<UUID>>([])

  var ids: [UUID] { claimed.withLock { Array($0) } }

  /// Call this before COMMIT. Otherwise a concurrent claim could mistake the batch for an orphan.
  func insert(_ batches: [UUID]) {
    guard !batches.isEmpty else { return }
    claimed.withLock { $0.formUnion(batches) }
  }

  func remove(_ batches: [UUID]) {
    guard !batches.isEmpty else { return }
    claimed.withLock { $0.subtract(batches) }
  }
}
