/// Tracks the published messages that the broker has not confirmed yet. Pure.
///
/// `Item` is whatever the publisher needs to resolve a message. Sequence numbers start at 1 on every channel.
struct ConfirmTracker<Item> {
  enum Resolution: Equatable {
    case confirmed
    case nacked
    case returned(code: Int, text: String)
  }

  /// What identifies a message in a `basic.return`, which has no sequence number.
  struct Identity: Equatable {
    let exchange: String
    let routingKey: String
    let messageID: String?
  }

  private struct Entry {
    var item: Item?
    let bytes: Int
    /// Only mandatory messages can come back.
    let identity: Identity?
    var returned: (code: Int, text: String)?
  }

  /// Entry `i` is sequence number `firstSequence + i`; an entry without an item is resolved.
  private var entries: [Entry] = []
  private var head = 0
  private var firstSequence: UInt64 = 1
  /// Returns arrive in the order of publishing, so the search continues where the last one ended.
  private var returnCursor: UInt64 = 1
  private(set) var outstandingCount = 0
  private(set) var outstandingBytes = 0

  init() {}

  /// The oldest unconfirmed message.
  var oldest: (sequence: UInt64, item: Item)? {
    guard head < entries.count, let item = entries[head].item else { return nil }
    return (firstSequence + UInt64(head), item)
  }

  /// Whether an unconfirmed message is such.
  func contains(where isSuch: (Item) -> Bool) -> Bool { entries[head...].contains { $0.item.map(isSuch) ?? false } }

  private var nextSequence: UInt64 { firstSequence + UInt64(entries.count) }

  mutating func published(_ item: Item, bytes: Int, identity: Identity?) {
    entries.append(Entry(item: item, bytes: bytes, identity: identity))
    outstandingCount += 1
    outstandingBytes += bytes
  }

  /// Records that a message was returned; the confirm that follows resolves it.
  ///
  /// - Returns: false when no outstanding message matches.
  mutating func returned(_ identity: Identity, code: Int, text: String) -> Bool {
    let cursor = max(head, Int(clamping: returnCursor) - Int(clamping: firstSequence))
    let matches: (Entry) -> Bool = { $0.item != nil && $0.returned == nil && $0.identity == identity }
    let from = min(cursor, entries.count)
    guard let index = entries[from...].firstIndex(where: matches) ?? entries[head..<from].firstIndex(where: matches)
    else { return false }
    entries[index].returned = (code, text)
    returnCursor = firstSequence + UInt64(index) + 1
    return true
  }

  /// Calls `resolve` for each message that a confirm covers, oldest first.
  ///
  /// - Parameters:
  ///   - sequence: the tag of the frame; 0 together with `multiple` means all.
  ///   - multiple: every message up to and including `sequence`.
  ///   - isAck: `basic.ack` or `basic.nack`.
  /// - Throws: `protocolViolation` for a sequence number that was never used.
  mutating func confirm(
    sequence: UInt64, multiple: Bool, isAck: Bool, resolve: (Item, Resolution) -> Void
  ) throws(AMQPError) {
    let last = sequence == 0 && multiple ? nextSequence - 1 : sequence
    guard last < nextSequence, last > 0 || multiple else {
      throw AMQPError(
        .protocolViolation, operation: "receive a confirm",
        message: "tag \(sequence) was never published; the last is \(nextSequence - 1)")
    }
    guard last >= firstSequence else { return }
    let end = Int(last - firstSequence) + 1
    for index in (multiple ? min(head, end) : end - 1)..<end {
      guard let item = remove(index) else { continue }
      if !isAck {
        resolve(item, .nacked)
      } else if let returned = entries[index].returned {
        resolve(item, .returned(code: returned.code, text: returned.text))
      } else {
        resolve(item, .confirmed)
      }
    }
    compact()
  }

  /// Returns everything unconfirmed, oldest first, and starts again at 1 for a new channel.
  mutating func reset() -> [Item] {
    let items = entries.compactMap(\.item)
    self = ConfirmTracker()
    return items
  }

  private mutating func remove(_ index: Int) -> Item? {
    guard let item = entries[index].item else { return nil }
    entries[index].item = nil
    outstandingCount -= 1
    outstandingBytes -= entries[index].bytes
    return item
  }

  private mutating func compact() {
    while head < entries.count, entries[head].item == nil { head += 1 }
    guard head >= 256, head * 2 >= entries.count else { return }
    entries.removeFirst(head)
    firstSequence += UInt64(head)
    head = 0
  }
}
