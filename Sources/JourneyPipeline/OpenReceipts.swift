import Journey
import Synchronization

/// The receipts that are not settled yet, with how many of their events are still to be decided.
///
/// A message may hold many events which different lanes commit; it is settled when the last of them is decided.
final class OpenReceipts: Sendable {
  private struct Open {
    var remaining: Int
    var rejections: [Rejection]
  }
  private let open = Mutex<[Receipt: Open]>([:])
  private let countHandedBack = Atomic<Int>(0)

  /// Notes receipts; those without events are settled at once.
  func open(_ batch: [Received]) -> [Settlement] {
    open.withLock { open in
      var settled: [Settlement] = []
      for received in batch {
        if received.events.isEmpty {
          settled.append(Settlement(received.receipt, Self.outcome(received.rejections)))
        } else {
          open[received.receipt] = Open(remaining: received.events.count, rejections: received.rejections)
        }
      }
      return settled
    }
  }

  /// Notes that one event of each of these receipts is decided.
  func resolve(_ decided: [(Receipt, Rejection?)]) -> [Settlement] {
    open.withLock { open in
      var settled: [Settlement] = []
      settled.reserveCapacity(decided.count)
      for (receipt, rejection) in decided {
        guard var entry = open[receipt] else { continue }
        entry.remaining -= 1
        if let rejection { entry.rejections.append(rejection) }
        if entry.remaining == 0 {
          open[receipt] = nil
          settled.append(Settlement(receipt, Self.outcome(entry.rejections)))
        } else {
          open[receipt] = entry
        }
      }
      return settled
    }
  }

  /// Gives receipts up undecided, each once however many of its events are given up.
  func release(_ receipts: [Receipt]) -> [Settlement] {
    open.withLock { open in
      receipts.compactMap { open.removeValue(forKey: $0) == nil ? nil : Settlement($0, .released) }
    }
  }

  /// Gives receipts up for now, to be delivered again later, each once however many of its events are concerned.
  func postpone(_ receipts: [Receipt]) -> [Settlement] {
    open.withLock { open in
      receipts.compactMap { open.removeValue(forKey: $0) == nil ? nil : Settlement($0, .postponed) }
    }
  }

  /// The same at the end of a run, whose report names them.
  func handBack(_ receipts: [Receipt]) -> [Settlement] {
    let settled = release(receipts)
    countHandedBack.add(settled.count, ordering: .relaxed)
    return settled
  }

  /// Hands all of them back that are left.
  func handBackAll() -> [Settlement] { handBack(open.withLock { Array($0.keys) }) }

  /// How many were handed back.
  var handedBack: Int { countHandedBack.load(ordering: .relaxed) }

  private static func outcome(_ rejections: [Rejection]) -> Settlement.Outcome {
    rejections.isEmpty ? .applied : .rejected(rejections)
  }
}
