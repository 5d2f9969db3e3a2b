public import AMQPClient
import FoundationEssentials
public import Journey
import Synchronization

/// Decides which actions this process may publish now: none that an operator holds, and none at all once it has not
/// heard from the database for `limit`.
///
/// An order to hold is carried out everywhere when each instance has confirmed it or its lease has run out. So whoever
/// cannot renew its lease stops before that. Asked for each action on the publishing thread: without a hold this costs
/// an atomic load and a look at the clock.
public final class ActionGate: Sendable {
  /// How long a renewal lets actions pass, counted from before it was sent. A second less than the lease, for what is on
  /// its way.
  public static let limit = Duration.seconds(4)

  private let holds = Mutex<[Hold]>([])
  private let count = Atomic<Int>(0)
  /// Nanoseconds since `start`.
  private let end = Atomic<Int64>(.min)
  private let start: ContinuousClock.Instant
  private let now: @Sendable () -> ContinuousClock.Instant

  /// - Parameter now: a clock that also goes on while the machine sleeps.
  public init(now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }) {
    self.now = now
    start = now()
  }

  /// The lease is renewed, and these holds were open after that.
  /// - Parameter sentAt: before the renewal was sent.
  public func renewed(_ open: [Hold], sentAt: ContinuousClock.Instant) {
    holds.withLock { $0 = open }
    count.store(open.count, ordering: .releasing)
    // Only now: what is let through has to know the holds.
    end.store((sentAt + Self.limit - start).nanoseconds, ordering: .releasing)
  }

  public var isWaiting: Bool { (now() - start).nanoseconds >= end.load(ordering: .acquiring) }

  public func verdict(on action: ActionMessage) -> GateVerdict {
    // What is taken back is taken back whatever is held; a change of a client is no action.
    guard action.kind == .recommendation else { return .open }
    if isWaiting { return .waiting }
    guard count.load(ordering: .acquiring) > 0 else { return .open }
    let found = holds.withLock { $0.first { $0.matches(orgID: action.orgID, routingKey: action.routingKey) } }
    return found.map { .held(by: $0.id) } ?? .open
  }
}

extension Duration {
  fileprivate var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
  }
}
