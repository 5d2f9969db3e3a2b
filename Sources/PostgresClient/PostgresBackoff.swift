/// Pauses between attempts to connect: they double up to a maximum, and each is drawn at random from the upper half, so
/// that many clients of one server do not come back in step.
public struct PostgresBackoff: Sendable {
  /// The longest first pause.
  public var base: Duration
  /// The longest pause of all.
  public var maximum: Duration

  public init(base: Duration = .milliseconds(100), maximum: Duration = .seconds(10)) {
    self.base = base
    self.maximum = maximum
  }

  /// - Parameters:
  ///   - failures: attempts that failed in a row, from 1; 0 means no pause.
  ///   - random: from 0 up to 1.
  func pause(afterFailures failures: Int, random: Double) -> Duration {
    guard failures > 0 else { return .zero }
    let ceiling = min(maximum, base * (1 << min(failures - 1, 30)))
    return ceiling * (0.5 + 0.5 * random)
  }
}
