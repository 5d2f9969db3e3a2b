/// Messages that wait to be written, in their batches. Used on the publisher's thread only.
struct PublishQueue {
  /// A batch whose completion has not been called.
  final class Batch {
    fileprivate let messages: [OutboundMessage]
    fileprivate let gate: PublishGate?
    private var outcomes: [PublishOutcome?]
    private var unresolved: Int
    private let completion: @Sendable ([PublishOutcome]) -> Void

    init(
      _ messages: [OutboundMessage], _ gate: PublishGate?,
      _ completion: @escaping @Sendable ([PublishOutcome]) -> Void
    ) {
      self.messages = messages
      self.gate = gate
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
    var hasGate: Bool { batch.gate != nil }
    var verdict: GateVerdict { batch.gate?(index) ?? .open }
    func resolve(_ outcome: PublishOutcome) { batch.resolve(index, outcome) }
  }

  /// Nil before `head`, so that a finished batch keeps no memory.
  private var batches: [Batch?] = []
  private var head = 0
  private var next = 0

  /// Positions whose gate makes them wait, in order, and those that go on, before all others; the next is the last.
  private var waiting: [Position] = []
  private var resumed: [Position] = []

  var isEmpty: Bool { head == batches.count && waiting.isEmpty && resumed.isEmpty }
  var hasWaiting: Bool { !waiting.isEmpty }

  mutating func append(
    _ messages: [OutboundMessage], _ gate: PublishGate?, _ completion: @escaping @Sendable ([PublishOutcome]) -> Void
  ) {
    batches.append(Batch(messages, gate, completion))
  }

  var first: Position? {
    if let next = resumed.last { return next }
    guard head < batches.count, let batch = batches[head] else { return nil }
    return Position(batch: batch, index: next)
  }

  @discardableResult
  mutating func removeFirst() -> Position? {
    guard let first else { return nil }
    guard resumed.popLast() == nil else { return first }
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

  /// Puts the first message aside until its gate does not make it wait any more.
  mutating func putAside() { if let first = removeFirst() { waiting.append(first) } }

  /// Goes on with the messages that were put aside, if the gate of the first lets it.
  mutating func resume() {
    guard let first = waiting.first, first.verdict != .waiting else { return }
    resumed += waiting.reversed()
    waiting = []
  }

  /// Removes everything, also what was put aside.
  mutating func removeAll() -> [Position] {
    resumed += waiting.reversed()
    waiting = []
    var all: [Position] = []
    while let position = removeFirst() { all.append(position) }
    return all
  }
}
