import Synchronization

/// Where events come from: an adapter over a queue.
///
/// Every message is settled once, by `settle`, in any order. Safe to use from any task.
public protocol EventSource: Sendable {
  /// Consumes the queue and calls back with each batch of messages, mapped, on the thread that received them: the
  /// callback must not block. Returns once the source was stopped and everything received was handed over. Call once.
  func receive(_ onMessages: @escaping @Sendable ([InboundMessage]) -> Void) async
  /// Never blocks. Outcomes of messages from a lost connection are dropped: the queue delivers those again.
  func settle(_ outcomes: [MessageOutcome])
  /// Messages of this generation, and of earlier ones, came on connections that are lost: they cannot be settled, and
  /// the queue delivers them again.
  var lostGeneration: UInt64 { get }
  /// Stops consuming until `resume`. What was received is still handed over, and everything can be settled.
  func pause()
  /// Consumes again, with at most `limit` unsettled messages, or as many as the settings allow. `pause` and `resume` may
  /// be called at any time and repeatedly.
  func resume(limit: UInt16?)
  /// Stops consuming for good. What was received is still handed over.
  func stop()
  /// Returns when the broker has all outcomes, or at the deadline.
  func close(within deadline: Duration) async
  /// After `close`: how many settled messages the queue delivers again because their copies were not confirmed in time.
  var leftBehind: Int { get }
}

/// Names a delivery. Opaque to all but the source that made it.
public struct AckToken: Hashable, Sendable {
  /// Counts the source's connections, from 1.
  public var generation: UInt64
  public var tag: UInt64

  public init(generation: UInt64, tag: UInt64) {
    self.generation = generation
    self.tag = tag
  }
}

/// One message with what the mapping made of it: several events if its body is a list, none if all of it is ignored.
///
/// It remembers how many of its events are undecided. Several workers may commit them; the message is settled with the
/// last one, and once (`docs/model/parts.pml`). A class, so that this needs no table.
public final class InboundMessage: Sendable {
  public let token: AckToken
  public let events: [IncomingEvent]
  /// Whatever the source needs to settle the message.
  public let delivery: (any AnyObject & Sendable)?

  private struct Undecided {
    var events: Int
    var rejections: [Rejection]
  }
  private let undecided: Mutex<Undecided>
  private let isGivenUp = Atomic<Bool>(false)

  public init(
    token: AckToken, events: [IncomingEvent], rejections: [Rejection], delivery: (any AnyObject & Sendable)? = nil
  ) {
    self.token = token
    self.events = events
    self.delivery = delivery
    undecided = Mutex(Undecided(events: events.count, rejections: rejections))
  }

  /// Why parts of the message were rejected so far: by the mapping, then by commits.
  public var rejections: [Rejection] { undecided.withLock(\.rejections) }

  /// The outcome of a message without events; nil for any other.
  public var outcomeWithoutEvents: MessageOutcome? { events.isEmpty ? outcome(rejections) : nil }

  /// Records that one event is decided. Never called for an event that was given up.
  /// - Returns: the message's outcome if that was the last one.
  public func resolve(_ rejection: Rejection?) -> MessageOutcome? {
    let rejections: [Rejection]? = undecided.withLock { undecided in
      undecided.events -= 1
      if let rejection { undecided.rejections.append(rejection) }
      return undecided.events == 0 ? undecided.rejections : nil
    }
    return rejections.map(outcome)
  }

  /// Gives the message up undecided.
  /// - Returns: false if it was given up before, for another of its events.
  public func giveUp() -> Bool { !isGivenUp.exchange(true, ordering: .relaxed) }

  private func outcome(_ rejections: [Rejection]) -> MessageOutcome {
    MessageOutcome(self, rejections.isEmpty ? .applied : .rejected(rejections))
  }
}

/// How a message ended.
public struct MessageOutcome: Sendable {
  public enum Kind: Sendable {
    /// All its events are committed, or were before, or are ignored on purpose.
    case applied
    /// Parts of it are rejected, for these reasons; the rest is committed.
    case rejected([Rejection])
    /// Undecided: the queue delivers it again.
    case released
    /// Undecided, for a reason that passes: to be delivered again after some seconds, not counted as an attempt.
    case postponed
  }

  public var message: InboundMessage
  public var kind: Kind

  public init(_ message: InboundMessage, _ kind: Kind) {
    self.message = message
    self.kind = kind
  }
}
