import AMQPClient
import Journey
import JourneyAMQP

/// A replay that this process runs or has run, and what became of its dead letters.
public struct ReplayStatus: Sendable, Encodable {
  var id: Int
  var claimed: Int
  /// Dead letters that the replay skips.
  var skipped: Int
  var progress = DeadLetterReplay.Progress()
  var isRunning = true
  var failure: String?
  /// Dead letters that the broker has confirmed, and that came back as dead letters.
  private(set) var failedAgain = 0
  /// Confirmed dead letters that left the queues and did not come back.
  private(set) var passed = 0
  /// When the ingest queue was first seen empty after the last dead letter had been published to it.
  private(set) var emptiedAt: ContinuousClock.Instant?
  private(set) var isSettled = false

  /// Confirmed dead letters that have neither passed nor come back.
  var waiting: Int { max(0, progress.confirmed - failedAgain - passed) }

  /// How long a consumer may work on what it has taken from the queue.
  private static let grace = Duration.seconds(3)
  /// After the last retry a message has passed or come back.
  private static let retries = Duration.milliseconds(MessagingNames.retryTiers.reduce(60_000) { $0 + $1.milliseconds })

  /// Updates the counts. Nothing reports that a message has passed: it has when it left the queues and did not come
  /// back.
  /// - Parameters:
  ///   - back: how many came back so far, read after the depths.
  ///   - hasEnded: whether everything was published when the depths were read.
  mutating func update(from depths: QueueDepths, back: Int, hasEnded: Bool, now: ContinuousClock.Instant = .now) {
    failedAgain = min(back, progress.confirmed)
    let others = progress.confirmed - failedAgain
    passed = 0
    guard hasEnded else { return }
    if emptiedAt == nil, depths.ingest == 0 { emptiedAt = now }
    guard let age = emptiedAt?.duration(to: now) else { return }
    if age >= Self.grace, depths.dead == 0 { isSettled = true }
    // Retries of other messages look like those of this replay.
    if isSettled { passed = age < Self.retries ? max(0, others - depths.retries) : others }
  }

  public func encode(to encoder: any Encoder) throws {
    let object: JSONObject = [
      "id": id, "letters": claimed, "held": skipped, "confirmed": progress.confirmed, "failed": progress.failed,
      "left": max(0, claimed - progress.done), "passed": passed, "failedAgain": failedAgain, "waiting": waiting,
      "running": isRunning, "failure": failure,
    ]
    try object.encode(to: encoder)
  }
}

/// How many messages wait in the adapter's queues.
public struct QueueDepths: Sendable {
  public var ingest = 0
  public var dead = 0
  /// In the queues that delay retries.
  var retries = 0

  static func read(_ broker: AMQPConnectionSettings, _ names: MessagingNames, retries: Bool) async throws -> QueueDepths
  {
    try await AMQPAdmin.with(broker) { admin in
      var depths = QueueDepths()
      depths.ingest = try await admin.messageCount(queue: names.ingest)
      for tier in MessagingNames.retryTiers where retries {
        depths.retries += try await admin.messageCount(queue: names.retryQueue(tier.name))
      }
      depths.dead = try await admin.messageCount(queue: names.deadLetters)
      return depths
    }
  }
}
