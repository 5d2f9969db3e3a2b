import Synchronization

/// Delivers events; implemented by an adapter over a queue.
///
/// Every message is settled once, by `settle`, in any order. Safe to use from any task.
public protocol EventSource: Sendable {
  /// Consumes the queue and calls back with each batch of mapped messages, on the receiving thread: the callback must
  /// not block. Returns after a stop, once everything received was delivered. Call once.
  func receive(_ onMessages: @escaping @Sendable ([InboundMessage]) -> Void) async
  /// Never blocks. Outcomes of messages from a lost connection are dropped: the queue delivers these messages again.
  func settle(_ outcomes: [MessageOutcome])
  /// Messages up to this generation came on lost connections. They cannot be settled, and the queue delivers them
  /// again.
  var lostGeneration: UInt64 { get }
  /// Stops consuming until `resume`. What was received is still delivered, and everything can be settled.
  func pause()
  /// Resumes consuming, with at most `limit` unsettled messages; nil: as configured. `pause` and `resume` may be called
  /// at any time and repeatedly.
  func resume(limit: UInt16?)
  /// Stops consuming for good. What was received is still delivered.
  func stop()
  /// Returns when the broker has all outcomes, or at the deadline.
  func close(within deadline: Duration) async
  /// After `close`: the settled messages that the queue delivers again, because their copies were not confirmed in
  /// time.
  var leftBehind: Int { get }
}

/// Identifies a delivery. Opaque to all but its source.
public struct AckToken: Hashable, Sendable {
  /// The number of the source's connection, from 1.
  public var generation: UInt64
  public var tag: UInt64

  public init(generation: UInt64, tag: UInt64) {
    self.generation = generation
    self.tag = tag
  }
}

/// One message with its mapped events: several if its body is a list, none if all of it is ignored or rejected.
///
/// It counts its undecided events. Several workers may commit them; the last one settles the message, once
/// (`docs/model/parts.pml`). A class, so that no table is needed.
public final class InboundMessage: Sendable {
  public let token: AckToken
  public let events: [IncomingEvent]
  /// What the source needs to settle the message.
  public let delivery: (any AnyObject & Sendable)?
  /// What the source knows of a message that can be mapped; nil if its body cannot be kept.
  public let origin: RawOrigin?
  /// When it was sent, on this process's clock, as far as that is known; otherwise when it was received first.
  public let sentAt: ContinuousClock.Instant

  private struct Undecided {
    var events: Int
    var rejections: [Rejection]
  }
  private let undecided: Mutex<Undecided>
  private let isGivenUp = Atomic<Bool>(false)

  public init(
    token: AckToken, events: [IncomingEvent], rejections: [Rejection], delivery: (any AnyObject & Sendable)? = nil,
    origin: RawOrigin? = nil, sentAt: ContinuousClock.Instant = .now
  ) {
    self.sentAt = sentAt
    self.token = token
    self.events = events
    self.delivery = delivery
    self.origin = origin
    undecided = Mutex(Undecided(events: events.count, rejections: rejections))
  }

  /// The rejections so far: by the mapping, then by commits.
  public var rejections: [Rejection] { undecided.withLock(\.rejections) }

  /// The outcome of a message without events; nil for any other.
  public var outcomeWithoutEvents: MessageOutcome? { events.isEmpty ? outcome(rejections) : nil }

  /// Records that one event is decided. Never called after `giveUp`.
  /// - Returns: the message's outcome if this was the last event.
  public func resolve(_ rejection: Rejection?) -> MessageOutcome? {
    let rejections: [Rejection]? = undecided.withLock { undecided in
      undecided.events -= 1
      if let rejection { undecided.rejections.append(rejection) }
      return undecided.events == 0 ? undecided.rejections : nil
    }
    return rejections.map(outcome)
  }

  /// Aborts the message while events are undecided.
  /// - Returns: false if it was already aborted for another event.
  public func giveUp() -> Bool { !isGivenUp.exchange(true, ordering: .relaxed) }

  private func outcome(_ rejections: [Rejection]) -> MessageOutcome {
    MessageOutcome(self, rejections.isEmpty ? .applied : .rejected(rejections))
  }
}

/// The outcome of a message.
public struct MessageOutcome: Sendable {
  public enum Kind: Sendable {
    /// All its events are stored or ignored.
    case applied
    /// Parts of it are rejected, for these reasons; the rest is stored.
    case rejected([Rejection])
    /// Undecided: the queue delivers it again.
    case released
    /// Undecided, for a temporary reason: it is delivered again after some seconds and does not count as an attempt.
    case postponed
  }

  public var message: InboundMessage
  public var kind: Kind

  public init(_ message: InboundMessage, _ kind: Kind) {
    self.message = message
    self.kind = kind
  }
}
