import Journey
public import Logging
import Synchronization

/// What the pipeline has done since it started. Safe to use from any task.
public final class Statistics: Sendable {
  public struct Counts: Hashable, Sendable, Encodable {
    private enum CodingKeys: CodingKey {
      case received, stored, duplicates, rejected, ignored, published, publishFailures
    }

    /// Messages taken from the queue.
    public var received = 0
    /// Events new in the ledger.
    public var stored = 0
    /// Events that were in the ledger before.
    public var duplicates = 0
    /// Messages settled as rejected: as dead letters, or to be tried again later.
    public var rejected = 0
    /// Messages without an event, on purpose.
    public var ignored = 0
    /// Clients evaluated without an event: time had passed, or the host had changed their stored events.
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
    return [
      "received": "\(now.received)", "stored": "\(now.stored)", "duplicates": "\(now.duplicates)",
      "rejected": "\(now.rejected)",
      "ignored": "\(now.ignored)", "evaluated_over_time": "\(now.overTime)", "published": "\(now.published)",
      "publish_failures": "\(now.publishFailures)",
    ]
  }
}
