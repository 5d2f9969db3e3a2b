import Synchronization

/// The health of the adapter's parts, by the outcome of their last attempt. Parts report; health checks read.
///
/// A part without an attempt counts as healthy. Safe to use from any thread. Reporting a success costs one atomic load
/// while nothing fails.
public final class Health: Sendable {
  public enum Part: String, CaseIterable, Sendable, Encodable {
    /// Consuming the ingest queue.
    case ingest
    /// Publishing copies of messages to the retry queues and the dead letters.
    case copies
    /// Publishing actions.
    case actions
    /// Storing batches of events.
    case commits
    /// Marking actions as published, and claiming those that a crash left behind.
    case outbox
    /// Evaluating clients as time passes.
    case time
    /// Connecting to the database.
    case database
    /// The checks of the start.
    case start
  }

  /// A part whose last attempt failed.
  public struct Problem: Hashable, Sendable, Encodable {
    public var part: Part
    /// Human-readable, without message content or secrets.
    public var reason: String

    public init(part: Part, reason: String) {
      self.part = part
      self.reason = reason
    }
  }

  private let failing = Mutex<[Part: String]>([:])
  private let count = Atomic<Int>(0)

  public init() {}

  /// Reports that the last attempt of a part failed.
  /// - Returns: whether the attempt before had succeeded, so that a change is logged once.
  @discardableResult
  public func failed(_ part: Part, _ reason: String) -> Bool {
    failing.withLock { failing in
      let isNew = failing.updateValue(reason, forKey: part) == nil
      count.store(failing.count, ordering: .relaxed)
      return isNew
    }
  }

  /// Reports that the last attempt of a part succeeded.
  /// - Returns: whether the attempt before had failed.
  @discardableResult
  public func succeeded(_ part: Part) -> Bool {
    guard count.load(ordering: .relaxed) > 0 else { return false }
    return failing.withLock { failing in
      let wasFailing = failing.removeValue(forKey: part) != nil
      count.store(failing.count, ordering: .relaxed)
      return wasFailing
    }
  }

  /// The parts whose last attempt failed, in the order of `Part`.
  public var problems: [Problem] {
    failing.withLock { failing in
      Part.allCases.compactMap { part in failing[part].map { Problem(part: part, reason: $0) } }
    }
  }
}
