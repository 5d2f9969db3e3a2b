/// Adapts the prefetch to the size of the bodies. Pure.
///
/// A prefetch counts messages, memory counts bytes. So a consumer begins with a small share of its prefetch, asks for
/// the rest while bodies are small, and gives the rest up once large ones accumulate. Messages already delivered stay.
struct DeliveryDemand {
  enum Change: Equatable {
    /// Ask for `rest` more.
    case more
    /// Ask for `share` alone.
    case less
  }

  /// This many messages show whether bodies are small, and are never too many.
  private static let sample = 16

  /// How many unsettled messages are always requested.
  let share: UInt16
  /// How many more are requested while bodies are small; 0: none.
  let rest: UInt16
  private let ceiling: Int
  private(set) var asksForRest = false
  /// How many unsettled messages the broker may deliver now.
  var granted: Int { Int(share) + (asksForRest ? Int(rest) : 0) }
  private var count = 0
  private var bytes = 0

  /// - Parameters:
  ///   - prefetch: the maximum of unsettled messages.
  ///   - ceiling: the target for the total size of the unsettled bodies, in bytes.
  init(prefetch: UInt16, maxBodyBytes: Int, ceiling: Int) {
    share = min(prefetch, UInt16(clamping: max(ceiling / max(maxBodyBytes, 1), Self.sample)))
    rest = prefetch - share
    self.ceiling = ceiling
  }

  /// Records a delivery.
  ///
  /// - Parameter unsettledBytes: the total size of the unsettled bodies, including this one.
  mutating func delivered(bytes size: Int, unsettledBytes: Int) -> Change? {
    guard rest > 0 else { return nil }
    if asksForRest {
      guard unsettledBytes > ceiling / 2 else { return nil }
      return change(to: false)
    }
    count += 1
    bytes += size
    guard count >= max(Int(share), Self.sample) else { return nil }
    let isSmall = bytes / count <= ceiling / 2 / (Int(share) + Int(rest))
    (count, bytes) = (0, 0)
    return isSmall && unsettledBytes <= ceiling / 4 ? change(to: true) : nil
  }

  private mutating func change(to asksForRest: Bool) -> Change {
    self.asksForRest = asksForRest
    (count, bytes) = (0, 0)
    return asksForRest ? .more : .less
  }
}
