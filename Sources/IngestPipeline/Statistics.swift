import Journey
public import Logging
import Synchronization

/// What the pipeline has done since it started. Safe to use from any task.
public final class Statistics: Sendable {
  public struct Counts: Hashable, Sendable, Encodable {
    private enum CodingKeys: CodingKey {
      case received, stored, duplicates, rejected, ignored, published, publishFailures
    }

    /// Messages received from the queue.
    public var received = 0
    /// Events that were new to the store.
    public var stored = 0
    /// Events that the store already held.
    public var duplicates = 0
    /// Outcomes of actions that were new to the store.
    public var outcomes = 0
    /// Messages settled as rejected: dead-lettered or scheduled for a retry.
    public var rejected = 0
    /// Messages that the mapping ignores.
    public var ignored = 0
    /// Clients evaluated without a new event: time passed, or the host application changed their stored events.
    public var overTime = 0
    /// Actions confirmed by the broker.
    public var published = 0
    /// Attempts to publish an action that failed.
    public var publishFailures = 0
  }

  private let counts = Mutex(Counts())

  init() {}

  public var now: Counts { counts.withLock(\.self) }

  func add(_ counter: any WritableKeyPath<Counts, Int> & Sendable, _ amount: Int) {
    if amount != 0 { counts.withLock { $0[keyPath: counter] += amount } }
  }

  /// The counts as log metadata.
  public var metadata: Logger.Metadata {
    let now = now
    return .fields([
      .outcomes: now.outcomes > 0 ? "\(now.outcomes)" : nil, .received: "\(now.received)", .stored: "\(now.stored)",
      .duplicates: "\(now.duplicates)",
      .rejected: "\(now.rejected)", .ignored: "\(now.ignored)", .evaluatedOverTime: "\(now.overTime)",
      .published: "\(now.published)", .publishFailures: "\(now.publishFailures)",
    ])
  }
}
