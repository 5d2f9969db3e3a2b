import DeadLetters
import AMQPClient
import Journey
import JourneyConfiguration
import JourneyAMQP

/// A replay of this process, and what is known of what became of its letters.
struct ServeReplay {
  var id: Int
  var deadLetters: Int
  var held: Int
  var progress = DeadLetterReplay.Progress()
  var isRunning = true
  var failure: String?
  /// Letters that are confirmed, and came back as dead letters.
  private(set) var failedAgain = 0
  /// Confirmed letters that left the queues and did not come back.
  private(set) var passed = 0
  /// When the ingest queue was first seen empty after the last letter had been published to it.
  private var emptiedAt: ContinuousClock.Instant?
  private var isSettled = false

  init(id: Int, deadLetters: Int, held: Int) {
    self.id = id
    self.deadLetters = deadLetters
    self.held = held
  }

  /// Confirmed letters that are not decided.
  var waiting: Int { max(0, progress.confirmed - failedAgain - passed) }

  /// How long the instances may be at work on what they have taken from the queue.
  private static let grace = Duration.seconds(3)
  /// After the last retry a letter has passed or come back.
  private static let retries = Duration.milliseconds(MessagingNames.retryTiers.reduce(60_000) { $0 + $1.milliseconds })

  /// Takes a look. Nothing tells that a message has passed: it has where it left the queues and did not come back.
  /// - Parameters:
  ///   - back: how many letters came back so far; asked for after the depths.
  ///   - hasEnded: whether all was published when the queues were looked at.
  mutating func look(at depths: QueueDepths, back: Int, hasEnded: Bool, now: ContinuousClock.Instant = .now) {
    failedAgain = min(back, progress.confirmed)
    let others = progress.confirmed - failedAgain
    passed = 0
    guard hasEnded else { return }
    if emptiedAt == nil, depths.ingest == 0 { emptiedAt = now }
    guard let age = emptiedAt?.duration(to: now) else { return }
    if age >= Self.grace, depths.dead == 0 { isSettled = true }
    // Retries of other messages cannot be told from those of this replay.
    if isSettled { passed = age < Self.retries ? max(0, others - depths.retries) : others }
  }

  func write(into json: inout JSONWriter) {
    json.beginObject()
    for (name, number) in [
      ("id", id), ("letters", deadLetters), ("held", held), ("confirmed", progress.confirmed),
      ("failed", progress.failed),
      ("left", max(0, deadLetters - progress.done)), ("passed", passed), ("failedAgain", failedAgain),
      ("waiting", waiting),
    ] {
      json.key(name)
      json.int(number)
    }
    json.key("running")
    json.bool(isRunning)
    json.member("failure", failure)
    json.endObject()
  }
}

/// How many messages wait in the adapter's queues.
struct QueueDepths {
  var ingest = 0
  var dead = 0
  /// In the queues from which messages come back to be tried again.
  var retries = 0

  static func read(_ settings: JourneyConfiguration.Settings, retries: Bool) async throws -> QueueDepths {
    let names = settings.messagingNames
    var depths = QueueDepths()
    try await withAdmin(settings) {
      depths.ingest = try await $0.messageCount(queue: names.ingest)
      if retries {
        for tier in MessagingNames.retryTiers {
          depths.retries += try await $0.messageCount(queue: names.retryQueue(tier.name))
        }
      }
      depths.dead = try await $0.messageCount(queue: names.deadLetters)
    }
    return depths
  }
}
