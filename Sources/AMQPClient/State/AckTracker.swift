/// Tracks the unsettled deliveries of one channel and creates the frames that settle them. Pure.
///
/// The broker closes the channel (406) when a tag is settled twice, so every tag is used once. Acknowledgements are
/// collected until `flush`, which acknowledges the longest prefix without a gap in a single frame.
struct AckTracker {
  enum Frame: Equatable {
    case ack(tag: UInt64, multiple: Bool)
    case reject(tag: UInt64, requeue: Bool)
    case nack(tag: UInt64, multiple: Bool, requeue: Bool)
  }

  private enum State: UInt8 {
    case unsettled
    /// Acknowledged by the owner; the frame is not written yet.
    case acknowledged
    case settled
  }

  private struct Entry {
    var state: State
    var bytes: Int
  }

  let generation: UInt64
  /// Entry `i` is the delivery with tag `firstTag + i`. Entries before `head` are settled and only await compaction.
  private var entries: [Entry] = []
  private var head = 0
  private var firstTag: UInt64 = 1
  /// Acknowledgements that no frame covers yet.
  private var pendingAcks = 0
  private(set) var unsettledCount = 0
  private(set) var unsettledBytes = 0

  init(generation: UInt64) { self.generation = generation }

  /// The tag of the next delivery; the broker numbers them consecutively.
  private var nextTag: UInt64 { firstTag + UInt64(entries.count) }

  mutating func delivered(tag: UInt64, bytes: Int) throws(AMQPError) {
    guard tag == nextTag else {
      throw AMQPError(
        .protocolViolation, operation: "receive a message", message: "delivery tag \(tag) follows \(nextTag - 1)")
    }
    entries.append(Entry(state: .unsettled, bytes: bytes))
    unsettledCount += 1
    unsettledBytes += bytes
  }

  /// The frames to write now. Acknowledgements wait for `flush`.
  mutating func settle(_ settlement: Settlement) -> [Frame] {
    switch settlement {
    case .ack(let tag):
      if let index = unsettledIndex(tag) { acknowledge(index) }
    case .ackThrough(let tag):
      guard let end = endIndex(through: tag) else { break }
      for index in head..<end where entries[index].state == .unsettled { acknowledge(index) }
    case .reject(let tag, let requeue):
      guard let index = unsettledIndex(tag) else { break }
      remove(index)
      return [.reject(tag: tag.value, requeue: requeue)]
    case .nack(let tag, let requeue):
      guard let index = unsettledIndex(tag) else { break }
      remove(index)
      return [.nack(tag: tag.value, multiple: false, requeue: requeue)]
    case .nackThrough(let tag, let requeue):
      return nackThrough(tag, requeue: requeue)
    }
    return []
  }

  /// The frames for the acknowledgements collected so far.
  ///
  /// - Parameter gaps: how many acknowledgements may wait for an unsettled delivery before them. Beyond that, each is
  ///   written in its own frame, so that one slow delivery does not use up the prefetch.
  mutating func flush(keeping gaps: Int = 0) -> [Frame] {
    guard pendingAcks > 0 else { return [] }
    var frames: [Frame] = []
    var index = head
    var lastAcknowledged: Int?
    while index < entries.count, entries[index].state != .unsettled {
      if entries[index].state == .acknowledged {
        lastAcknowledged = index
        entries[index].state = .settled
        pendingAcks -= 1
      }
      index += 1
    }
    if let lastAcknowledged { frames.append(.ack(tag: firstTag + UInt64(lastAcknowledged), multiple: true)) }
    guard pendingAcks > gaps else {
      compact()
      return frames
    }
    while pendingAcks > 0 {
      if entries[index].state == .acknowledged {
        frames.append(.ack(tag: firstTag + UInt64(index), multiple: false))
        entries[index].state = .settled
        pendingAcks -= 1
      }
      index += 1
    }
    compact()
    return frames
  }

  private mutating func nackThrough(_ tag: DeliveryTag, requeue: Bool) -> [Frame] {
    // A multiple nack would include deliveries that are already acknowledged, so those frames go first.
    var frames = flush()
    guard let end = endIndex(through: tag) else { return frames }
    let unsettled = (head..<end).filter { entries[$0].state == .unsettled }
    guard let last = unsettled.last else { return frames }
    frames.append(.nack(tag: firstTag + UInt64(last), multiple: true, requeue: requeue))
    for index in unsettled { remove(index) }
    compact()
    return frames
  }

  private func unsettledIndex(_ tag: DeliveryTag) -> Int? {
    guard tag.generation == generation, tag.value >= firstTag, tag.value < nextTag else { return nil }
    let index = Int(tag.value - firstTag)
    return entries[index].state == .unsettled ? index : nil
  }

  /// The index after the tag's, at least `head`; nil when the tag is of another channel or was never delivered.
  private func endIndex(through tag: DeliveryTag) -> Int? {
    guard tag.generation == generation, tag.value >= firstTag, tag.value < nextTag else { return nil }
    return max(head, Int(tag.value - firstTag) + 1)
  }

  private mutating func acknowledge(_ index: Int) {
    remove(index)
    entries[index].state = .acknowledged
    pendingAcks += 1
  }

  private mutating func remove(_ index: Int) {
    entries[index].state = .settled
    unsettledCount -= 1
    unsettledBytes -= entries[index].bytes
  }

  /// Drops the settled prefix once it outweighs the rest, so that the cost per delivery stays constant.
  private mutating func compact() {
    while head < entries.count, entries[head].state == .settled { head += 1 }
    guard head >= 256, head * 2 >= entries.count else { return }
    entries.removeFirst(head)
    firstTag += UInt64(head)
    head = 0
  }
}
