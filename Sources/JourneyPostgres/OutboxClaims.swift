import FoundationEssentials
import PostgresClient
import Synchronization

/// The outbox batches that this process is about to publish, from before their transaction ends until it is noted that
/// they are published.
///
/// A batch in the table that bears this process's number and is not among them was left behind by the process itself:
/// the answer to its COMMIT was lost, or a claim failed half-way. So it is taken up again whenever the database
/// answers, however long it was away.
final class OutboxClaims: Sendable {
  private let claimed = Mutex<Set<UUID>>([])

  var ids: [UUID] { claimed.withLock { Array($0) } }

  /// To be called before COMMIT: after it, another look for what was left behind could find the batch.
  func insert(_ batches: [UUID]) {
    guard !batches.isEmpty else { return }
    claimed.withLock { $0.formUnion(batches) }
  }

  func remove(_ batches: [UUID]) {
    guard !batches.isEmpty else { return }
    claimed.withLock { $0.subtract(batches) }
  }
}
