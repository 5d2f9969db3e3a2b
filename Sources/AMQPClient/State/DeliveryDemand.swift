/// How much of a queue the broker may hand out, by the size of what comes. Pure.
///
/// A prefetch counts messages, memory counts bytes. So a consumer begins with a small share of its prefetch; the rest
/// is asked for while bodies are small, and given up once large ones pile up. What is handed out already stays.
struct DeliveryDemand {
  enum Change: Equatable {
    /// Ask for `rest` more.
    case more
    /// Ask for `share` alone.
    case less
  }

  /// As many messages tell whether bodies are small, and so many are never too many.
  private static let sample = 16

  /// How many unsettled messages are always asked for.
  let share: UInt16
  /// How many more are, where bodies are small; 0: the share is all.
  let rest: UInt16
  private let ceiling: Int
  private(set) var asksForRest = false
  /// How many unsettled messages the broker may hand out now.
  var granted: Int { Int(share) + (asksForRest ? Int(rest) : 0) }
  private var count = 0
  private var bytes = 0

  /// - Parameters:
  ///   - prefetch: at most so many unsettled messages.
  ///   - ceiling: how many bytes the bodies of unsettled messages should have together.
  init(prefetch: UInt16, maxBodyBytes: Int, ceiling: Int) {
    share = min(prefetch, UInt16(clamping: max(ceiling / max(maxBodyBytes, 1), Self.sample)))
    rest = prefetch - share
    self.ceiling = ceiling
  }

  /// Notes a message that came.
  ///
  /// - Parameter unsettledBytes: of the bodies that came and are not settled, this one included.
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
