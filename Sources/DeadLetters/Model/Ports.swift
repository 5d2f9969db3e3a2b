public import FoundationEssentials
public import Journey

/// Where dead letters come from: an adapter over their queue. Safe to use from any task.
public protocol DeadLetterSource: Sendable {
  /// Waits for dead letters and returns all that have arrived.
  /// - Returns: nil after the source was stopped and everything it had received was returned.
  func nextBatch() async -> [ReceivedDeadLetter]?
  /// Acks dead letters. Never blocks. A token of a lost connection is dropped; the queue delivers its message again.
  func settle(_ tokens: [AckToken])
  /// Stops consuming.
  func stop()
  /// Returns when the broker has all acks, or after the deadline. What is not settled returns to the queue.
  func close(within deadline: Duration) async
}

public struct ReceivedDeadLetter: Sendable {
  public var token: AckToken
  public var deadLetter: DeadLetter
}

/// Where dead letters are kept: an adapter over a database.
public protocol DeadLetterArchive: Sendable {
  /// Stores dead letters in one transaction, which is committed when this returns.
  ///
  /// A message that is archived already is not stored again. If it has failed again since it was replayed or discarded,
  /// its dead letter is open again with the new reason.
  /// - Throws: `StoreError`. After `.transient` it is unknown whether they are stored: store them again.
  func store(_ deadLetters: [DeadLetter]) async throws(StoreError) -> StoredDeadLetters
}

/// The outcome of one call of `store`.
public struct StoredDeadLetters: Hashable, Sendable {
  public var new = 0
  /// Archived before, and failed again since.
  public var reopened = 0
  /// Copies of what is archived.
  public var known = 0
}

/// A dead letter that a replay has claimed.
public struct ReplayItem: Hashable, Sendable {
  public var deadLetterID: UUID
  public var message: OriginalMessage
  /// From 1.
  public var replayCount: Int
  /// The id of the edited message; nil if the message is not edited.
  public var editedID: UUID?
  /// The dead letter from which this one was edited.
  public var causedBy: UUID?
}

/// The outcome of publishing a dead letter.
public enum ReplayOutcome: Hashable, Sendable {
  /// The broker has it.
  case confirmed
  /// The broker does not have it, for this reason; the dead letter is open again.
  case failed(String)
  /// Unknown. It stays claimed, and the same replay publishes it again.
  case unknown(String)
}

/// The dead letters that a replay has claimed.
public protocol ReplayStore: Sendable {
  /// Claimed dead letters without an outcome, the oldest first, after the given one. Ensures that no other process runs
  /// this replay.
  /// - Throws: `StoreError`, `.permanent` if another process runs it.
  func claimed(after deadLetter: UUID?, limit: Int) async throws(StoreError) -> [ReplayItem]
  /// Records outcomes and logs them. Unknown outcomes change nothing.
  /// - Throws: `StoreError`. After `.transient` it is unknown whether they are recorded: record them again.
  func record(_ outcomes: [(UUID, ReplayOutcome)]) async throws(StoreError)
}

/// Publishes dead letters again: an adapter over the broker.
public protocol DeadLetterPublisher: Sendable {
  /// Publishes, and waits for all confirms. One outcome per item, in their order. Ignores cancellation: what is written
  /// cannot be revoked.
  func publish(_ items: [ReplayItem]) async -> [ReplayOutcome]
}
