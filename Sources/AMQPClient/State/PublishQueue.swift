/// Messages that wait to be written, in their batches. Used on the publisher's thread only.
struct PublishQueue {
  /// A batch whose completion has not been called.
  final class Batch {
    fileprivate let messages: [OutboundMessage]
    private var outcomes: [PublishOutcome?]
    private var unresolved: Int
    private let completion: @Sendable ([PublishOutcome]) -> Void

    init(_ messages: [OutboundMessage], _ completion: @escaping @Sendable ([PublishOutcome]) -> Void) {
      self.messages = messages
      self.completion = completion
      outcomes = Array(repeating: nil, count: messages.count)
      unresolved = messages.count
    }

    fileprivate func resolve(_ index: Int, _ outcome: PublishOutcome) {
      precondition(outcomes[index] == nil, "a message is resolved once")
      outcomes[index] = outcome
      unresolved -= 1
      if unresolved == 0 { completion(outcomes.compactMap(\.self)) }
    }
  }

  /// One message of a batch.
  struct Position {
    fileprivate let batch: Batch
    fileprivate let index: Int

    var message: OutboundMessage { batch.messages[index] }
    func resolve(_ outcome: PublishOutcome) { batch.resolve(index, outcome) }
  }

  /// Nil before `head`, so that a finished batch keeps no memory.
  private var batches: [Batch?] = []
  private var head = 0
  private var next = 0

  var isEmpty: Bool { head == batches.count }

  mutating func append(_ messages: [OutboundMessage], _ completion: @escaping @Sendable ([PublishOutcome]) -> Void) {
    batches.append(Batch(messages, completion))
  }

  var first: Position? {
    guard head < batches.count, let batch = batches[head] else { return nil }
    return Position(batch: batch, index: next)
  }

  @discardableResult
  mutating func removeFirst() -> Position? {
    guard let first else { return nil }
    next += 1
    guard next == first.batch.messages.count else { return first }
    next = 0
    batches[head] = nil
    head += 1
    if head >= 64, head * 2 >= batches.count {
      batches.removeFirst(head)
      head = 0
    }
    return first
  }
}
