import Synchronization

/// Counts values by size. Safe to use from any thread; meant for one value or one list of values a batch.
public final class Histogram: Sendable {
  public struct Snapshot: Hashable, Sendable {
    /// The number of values in each bucket, without those of smaller ones; the last bucket has no upper bound.
    public var counts: [Int]
    public var sum = 0.0

    public var count: Int { counts.reduce(0, +) }
  }

  private let bounds: [Double]
  private let state: Mutex<Snapshot>

  /// - Parameter metric: its definition has the bounds.
  public init(_ metric: Metric) {
    bounds = metric.definition.bounds
    precondition(!bounds.isEmpty, "\(metric.name) is no histogram")
    state = Mutex(Snapshot(counts: Array(repeating: 0, count: bounds.count + 1)))
  }

  /// - Parameter value: in the metric's unit.
  public func observe(_ value: Double) { observe(CollectionOfOne(value)) }

  /// Adds many values under one lock.
  public func observe(_ values: some Collection<Double>) {
    guard !values.isEmpty else { return }
    state.withLock { state in
      for value in values {
        state.counts[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1
        state.sum += value
      }
    }
  }

  public func observe(_ duration: Duration) { observe(duration / .seconds(1)) }

  public var snapshot: Snapshot { state.withLock(\.self) }
}
