public import FoundationEssentials
public import Journey

/// Where dead letters come from: an adapter over their queue. Safe to use from any task.
public protocol DeadLetterSource: Sendable {
  /// Waits for letters and returns all that are there.
  /// - Returns: nil once the source was stopped and everything it had received was handed out.
  func nextBatch() async -> [ReceivedDeadLetter]?
  /// Takes letters off the queue. Never blocks; a receipt of a lost connection is dropped, the queue delivers it again.
  func settle(_ tokens: [AckToken])
  /// Takes no more from the queue.
  func stop()
  /// Returns when all settlements are with the broker, or the deadline has passed. What is not settled goes back to the
  /// queue.
  func close(within deadline: Duration) async
}

public struct ReceivedDeadLetter: Sendable {
  public var token: AckToken
  public var deadLetter: DeadLetter

  public init(token: AckToken, deadLetter: DeadLetter) {
    self.token = token
    self.deadLetter = deadLetter
  }
}

/// Where dead letters are kept: an adapter over a database.
public protocol DeadLetterArchive: Sendable {
  /// Stores letters, in one transaction that is known to be committed when it returns.
  ///
  /// A message that is archived already is not stored again. Where it has failed again since it was replayed or
  /// discarded, its letter is open again with the new reason.
  /// - Throws: `StoreError`. After `.transient` it is unknown whether they are stored: store them again.
  func store(_ deadLetters: [DeadLetter]) async throws(StoreError) -> StoredDeadLetters
}

/// What became of the letters of one call.
public struct StoredDeadLetters: Hashable, Sendable {
  public var new = 0
  /// Archived before, and failed again since.
  public var reopened = 0
  /// Copies of what is archived.
  public var known = 0

  public init(new: Int = 0, reopened: Int = 0, known: Int = 0) {
    self.new = new
    self.reopened = reopened
    self.known = known
  }
}

/// One letter that a replay has taken.
public struct ReplayItem: Hashable, Sendable {
  public var deadLetterID: UUID
  public var message: OriginalMessage
  /// From 1.
  public var replayCount: Int
  /// The id of the edited message; nil where the message is sent as it was.
  public var editedID: UUID?
  /// The letter from which this one was edited.
  public var causedBy: UUID?

  public init(deadLetterID: UUID, message: OriginalMessage, replayCount: Int, editedID: UUID?, causedBy: UUID?) {
    self.deadLetterID = deadLetterID
    self.message = message
    self.replayCount = replayCount
    self.editedID = editedID
    self.causedBy = causedBy
  }
}

/// What became of one letter of a replay.
public enum ReplayOutcome: Hashable, Sendable {
  /// The broker has it.
  case confirmed
  /// The broker does not have it, for this reason: the letter is open again.
  case failed(String)
  /// Nobody knows. It stays taken, and is published again by the same replay.
  case unknown(String)
}

/// The letters that a replay has taken, as the archive keeps them.
public protocol ReplayStore: Sendable {
  /// The letters that are taken and not done, the oldest first, after the one given. Makes sure that no other process
  /// runs this replay.
  /// - Throws: `StoreError`, `.permanent` where another process runs it.
  func claimed(after deadLetter: UUID?, limit: Int) async throws(StoreError) -> [ReplayItem]
  /// Notes outcomes, and writes them down in the record. Those unknown change nothing.
  /// - Throws: `StoreError`. After `.transient` it is unknown whether they are noted: note them again.
  func record(_ outcomes: [(UUID, ReplayOutcome)]) async throws(StoreError)
}

/// Publishes letters again: an adapter over the broker.
public protocol DeadLetterPublisher: Sendable {
  /// Publishes, and waits for all confirms. One outcome an item, in their order. Not cancellable: what is written
  /// cannot be taken back.
  func publish(_ items: [ReplayItem]) async -> [ReplayOutcome]
}
