import Journey
import Synchronization

/// The receipts that are not settled yet, with how many of their events are still to be decided.
///
/// A message may hold many events which different lanes commit; it is settled when the last of them is decided.
final class InFlightMessages: Sendable {
  private struct Open {
    var remaining: Int
    var rejections: [Rejection]
  }
  private let open = Mutex<[AckToken: Open]>([:])
  private let countReleased = Atomic<Int>(0)

  /// Notes receipts; those without events are settled at once.
  func open(_ batch: [InboundMessage]) -> [Settlement] {
    open.withLock { open in
      var settled: [Settlement] = []
      for received in batch {
        if received.events.isEmpty {
          settled.append(Settlement(received.token, Self.outcome(received.rejections)))
        } else {
          open[received.token] = Open(remaining: received.events.count, rejections: received.rejections)
        }
      }
      return settled
    }
  }

  /// Notes that one event of each of these receipts is decided.
  func resolve(_ decided: [(AckToken, Rejection?)]) -> [Settlement] {
    open.withLock { open in
      var settled: [Settlement] = []
      settled.reserveCapacity(decided.count)
      for (token, rejection) in decided {
        guard var entry = open[token] else { continue }
        entry.remaining -= 1
        if let rejection { entry.rejections.append(rejection) }
        if entry.remaining == 0 {
          open[token] = nil
          settled.append(Settlement(token, Self.outcome(entry.rejections)))
        } else {
          open[token] = entry
        }
      }
      return settled
    }
  }

  /// Gives receipts up undecided, each once however many of its events are given up.
  func release(_ tokens: [AckToken]) -> [Settlement] {
    open.withLock { open in
      tokens.compactMap { open.removeValue(forKey: $0) == nil ? nil : Settlement($0, .released) }
    }
  }

  /// Gives receipts up for now, to be delivered again later, each once however many of its events are concerned.
  func postpone(_ tokens: [AckToken]) -> [Settlement] {
    open.withLock { open in
      tokens.compactMap { open.removeValue(forKey: $0) == nil ? nil : Settlement($0, .postponed) }
    }
  }

  /// The same at the end of a run, whose report names them.
  func releaseForGood(_ tokens: [AckToken]) -> [Settlement] {
    let settled = release(tokens)
    countReleased.add(settled.count, ordering: .relaxed)
    return settled
  }

  /// Hands all of them back that are left.
  func releaseAll() -> [Settlement] { releaseForGood(open.withLock { Array($0.keys) }) }

  /// How many were handed back.
  var released: Int { countReleased.load(ordering: .relaxed) }

  private static func outcome(_ rejections: [Rejection]) -> Settlement.Outcome {
    rejections.isEmpty ? .applied : .rejected(rejections)
  }
}
