import FoundationEssentials
import Journey
import PostgresClient
import Synchronization

/// Outbox batches of transactions whose answer never came.
///
/// Where such a transaction went through, its batch bears this instance's number, so no other instance takes it; and the repeated work finds only duplicates, so it
/// hands no action out. These ids are how the batches are found again.
final class Suspects: Sendable {
  /// Longer than any transaction of the adapter can be under way: what was not found by then was not committed.
  private static let patience = TimeSpan.hours(1)

  private let known = Mutex<[UUID: Timestamp]>([:])

  func add(_ batches: [UUID], at now: Timestamp) {
    known.withLock { known in
      for id in batches { known[id] = now }
    }
  }

  func remove(_ batches: [UUID]) {
    known.withLock { known in
      for id in batches { known[id] = nil }
    }
  }

  func ids(at now: Timestamp) -> [UUID] {
    known.withLock { known in
      if !known.isEmpty { known = known.filter { now < $0.value + Self.patience } }
      return Array(known.keys)
    }
  }
}

extension PostgresError {
  /// Whether a transaction that failed like this at its end may have been committed all the same: the answer was lost, or the server ended the session while it was
  /// committing (class 57P).
  var leavesCommitUnknown: Bool {
    switch kind {
    case .commitUnknown, .deadline: true
    case .transient, .reconnect: sqlState.map { $0.hasPrefix("57P") || $0.hasPrefix("08") } ?? true
    case .reprepare, .poison, .permanent, .decoding, .closed: false
    }
  }
}
