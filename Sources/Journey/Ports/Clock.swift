import FoundationEssentials

/// The clock of the pipeline.
public protocol WallClock: Sendable {
  func now() -> Timestamp
}

/// The system clock.
public struct SystemClock: WallClock {
  public init() {}
  public func now() -> Timestamp {
    Timestamp(microseconds: Int64((Date().timeIntervalSince1970 * 1_000_000).rounded()))
  }
}
