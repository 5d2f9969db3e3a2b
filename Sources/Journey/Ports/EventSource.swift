/// Where events come from: an adapter over a queue.
///
/// Every receipt that `receive` hands out is settled once, by `settle`, in any order. Safe to use from any task.
public protocol EventSource: Sendable {
  /// Takes from the queue and hands out what comes, mapped, in one call after the other, on the thread that received
  /// it: a hand-out must not block. Returns once the source was stopped and everything it had received was handed out.
  /// To be called once.
  func receive(_ onMessages: @escaping @Sendable ([InboundMessage]) -> Void) async
  /// Says what became of receipts. Never blocks; a receipt of a lost connection is dropped, the queue delivers it
  /// again.
  func settle(_ settlements: [Settlement])
  /// Whether the receipt can still be settled. Once its connection is lost it cannot, and the queue delivers the
  /// message again.
  func isOpen(_ token: AckToken) -> Bool
  /// Takes nothing from the queue until `resume`. What is under way is still handed out, and everything can be settled.
  func pause()
  /// Takes from the queue again, with at most `limit` unsettled messages at a time, or as many as the settings say.
  /// Both may be called at any time and again.
  func resume(limit: UInt16?)
  /// Takes no more from the queue. What was received already is still handed out.
  func stop()
  /// Returns when all settlements are with the broker, or the deadline has passed.
  func close(within deadline: Duration) async
  /// After `close`: how many messages that were settled the queue delivers again all the same, since their copies were
  /// not confirmed in time.
  var leftBehind: Int { get }
}

/// A delivery, opaque to all but the source that made it.
public struct AckToken: Hashable, Sendable {
  public var generation: UInt64
  public var tag: UInt64

  public init(generation: UInt64, tag: UInt64) {
    self.generation = generation
    self.tag = tag
  }
}

/// One message with what the mapping made of it: several events where its body is a list, none where all of it is
/// ignored.
public struct InboundMessage: Sendable {
  public var token: AckToken
  public var events: [IncomingEvent]
  public var rejections: [Rejection]

  public init(token: AckToken, events: [IncomingEvent], rejections: [Rejection]) {
    self.token = token
    self.events = events
    self.rejections = rejections
  }
}

/// What became of a receipt.
public struct Settlement: Sendable {
  public enum Outcome: Sendable {
    /// All its events are committed, or were before, or are ignored on purpose.
    case applied
    /// Some of it cannot be applied, for these reasons; all the rest of it is committed.
    case rejected([Rejection])
    /// Not decided: the queue shall deliver it again.
    case released
    /// Not decided, for a reason that passes: to be delivered again after some seconds, which does not count as an
    /// attempt.
    case postponed
  }

  public var token: AckToken
  public var outcome: Outcome

  public init(_ token: AckToken, _ outcome: Outcome) {
    self.token = token
    self.outcome = outcome
  }
}
