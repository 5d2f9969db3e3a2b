import Synchronization

/// Whether the loops of the process turn: what `/live` and a supervisor's watchdog report.
///
/// Time is counted in ticks of about a second, by a thread of its own. While the whole process is stopped there are no
/// ticks, so no loop seems stuck when it goes on. Safe to use from any thread; a turn costs two atomic operations.
public final class Liveness: Sendable {
  private let ticks = Ticks()
  private let loops = Mutex<[Loop]>([])

  public init() {}

  /// Registers a loop. It counts as at rest until its first turn.
  /// - Parameter limit: how many ticks a turn may take: more than all timeouts of what it does.
  public func loop(_ name: String, limit: Int) -> Loop {
    let loop = Loop(name: name, limit: limit, ticks: ticks)
    loops.withLock { $0.append(loop) }
    return loop
  }

  /// Counts one tick.
  public func tick() { ticks.count.add(1, ordering: .relaxed) }

  /// A loop that has not turned for longer than its limit.
  public struct Stuck: Hashable, Sendable, Encodable {
    public var loop: String
    /// Ticks since its last turn.
    public var seconds: Int

    public init(loop: String, seconds: Int) {
      self.loop = loop
      self.seconds = seconds
    }
  }

  /// In the order in which the loops were registered; none: the process is live.
  public var stuck: [Stuck] {
    loops.withLock { loops in
      loops.compactMap { loop in
        let age = loop.age
        return age > loop.limit ? Stuck(loop: loop.name, seconds: age) : nil
      }
    }
  }

  public var isLive: Bool { stuck.isEmpty }

  public final class Loop: Sendable {
    fileprivate let name: String
    fileprivate let limit: Int
    private let ticks: Ticks
    /// The tick of the last turn; `.max` while at rest.
    private let turned = Atomic<Int>(.max)

    fileprivate init(name: String, limit: Int, ticks: Ticks) {
      self.name = name
      self.limit = limit
      self.ticks = ticks
    }

    /// The loop turns, and turns again within its limit.
    public func turn() { turned.store(ticks.count.load(ordering: .relaxed), ordering: .relaxed) }

    /// The loop waits for something that has no timeout, such as work.
    public func rest() { turned.store(.max, ordering: .relaxed) }

    fileprivate var age: Int {
      let turned = turned.load(ordering: .relaxed)
      return turned == .max ? 0 : ticks.count.load(ordering: .relaxed) - turned
    }
  }

  fileprivate final class Ticks: Sendable {
    let count = Atomic<Int>(0)
  }
}
