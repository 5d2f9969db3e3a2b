/// What became of the copies of messages that were not stored. Pure.
public struct CopyCounts: Hashable, Sendable {
  /// Rejected messages that wait in a retry queue, by the name of its tier.
  public var retried: [String: Int] = [:]
  /// Messages that wait in a retry queue because nothing could be committed.
  public var postponed = 0
  public var deadLettered = 0

  /// Counts a message that is settled.
  /// - Parameter isConfirmed: false: its copy was not taken, and the broker dead-letters the message itself.
  mutating func count(_ message: RejectedDelivery, isConfirmed: Bool) {
    if let tier = message.tier, isConfirmed {
      if message.isPostponed { postponed += 1 } else { retried[tier, default: 0] += 1 }
    } else {
      deadLettered += 1
    }
  }

  static func += (counts: inout Self, others: Self) {
    counts.retried.merge(others.retried, uniquingKeysWith: +)
    counts.postponed += others.postponed
    counts.deadLettered += others.deadLettered
  }
}
