public import Journey
public import Logging
public import Telemetry
import Synchronization

/// What the pipeline has done since it started: counted once a batch, for logs, the API and metrics. Safe to use from
/// any task.
public final class Statistics: Sendable {
  /// An attempt to publish a message, by what became of it.
  public struct Attempt: Hashable, Sendable {
    public var kind: ActionMessage.Kind
    /// nil: confirmed.
    public var failure: PublishFailure.Cause?

    public init(kind: ActionMessage.Kind, failure: PublishFailure.Cause?) {
      self.kind = kind
      self.failure = failure
    }
  }
  /// What was reported of an action.
  public struct Outcome: Hashable, Sendable {
    /// nil: of another version.
    public var action: ActionKind?
    public var outcome: ActionOutcome

    public init(action: ActionKind?, outcome: ActionOutcome) {
      self.action = action
      self.outcome = outcome
    }
  }

  public struct Counts: Hashable, Sendable {
    /// Messages received from the queue.
    public var received = 0
    /// Events that were new to the store.
    public var stored = 0
    /// Events that the store already held.
    public var duplicates = 0
    /// Outcomes of actions that were new to the store.
    public var outcomesOfActions: [Outcome: Int] = [:]
    /// Messages settled as rejected, dead-lettered or scheduled for a retry, by their first reason.
    public var rejections: [Rejection.Code: Int] = [:]
    /// Messages that the mapping ignores.
    public var ignored = 0
    /// Clients evaluated without a new event: time passed, or the host application changed their stored events.
    public var overTime = 0
    /// Attempts to publish messages for workers.
    public var attempts: [Attempt: Int] = [:]

    public var outcomes: Int { outcomesOfActions.values.reduce(0, +) }
    public var rejected: Int { rejections.values.reduce(0, +) }
    /// Actions and changes of clients confirmed by the broker.
    public var published: Int { count { $0.failure == nil } }
    /// Attempts to publish these that failed.
    public var publishFailures: Int { count { $0.failure != nil && $0.failure != .held } }

    private func count(where condition: (Attempt) -> Bool) -> Int {
      attempts.reduce(0) { $1.key.kind != .revocation && condition($1.key) ? $0 + $1.value : $0 }
    }
  }

  private let counts = Mutex(Counts())
  /// Events in each commit.
  public let commitEvents = Histogram(.commitEvents)
  /// The time of each successful commit.
  public let commitSeconds = Histogram(.commitSeconds)
  /// The time until the broker has answered for all actions of a batch.
  public let confirmSeconds = Histogram(.confirmSeconds)
  /// The time from the sending of an event until the action that it led to is confirmed.
  public let criticalTime = Histogram(.criticalTime)

  init() {}

  public var now: Counts { counts.withLock(\.self) }

  func add(_ counter: any WritableKeyPath<Counts, Int> & Sendable, _ amount: Int) {
    if amount != 0 { counts.withLock { $0[keyPath: counter] += amount } }
  }

  /// Counts a batch under one lock.
  func count(_ body: (inout Counts) -> Void) { counts.withLock { body(&$0) } }

  /// Measures a successful commit.
  func committed(_ batch: EventBatch, in time: Duration) {
    // Without events it only records what was published.
    guard !batch.events.isEmpty else { return }
    commitEvents.observe(Double(batch.events.count))
    commitSeconds.observe(time)
  }

  /// Measures how long the broker took to answer for a batch of actions.
  /// - Parameter sentAt: when the event that led to each action was sent; empty: not known.
  func answered(
    _ results: [PublishFailure?], publishedAt: ContinuousClock.Instant, sentAt: [ContinuousClock.Instant?]
  ) {
    let now = ContinuousClock.now
    // What was not sent, or is not answered, says nothing of how fast the broker is.
    if results.contains(where: { $0.map { [.returned, .refused].contains($0.cause) } ?? true }) {
      confirmSeconds.observe(publishedAt.duration(to: now))
    }
    let confirmed = zip(sentAt, results).compactMap { sentAt, failure in failure == nil ? sentAt : nil }
    criticalTime.observe(confirmed.map { $0.duration(to: now) / .seconds(1) })
  }

  /// Counts what became of messages for workers.
  func published(_ messages: [ActionMessage], _ results: [PublishFailure?]) {
    var attempts: [Attempt: Int] = [:]
    for (message, result) in zip(messages, results) {
      attempts[Attempt(kind: message.kind, failure: result?.cause), default: 0] += 1
    }
    count { $0.attempts.merge(attempts, uniquingKeysWith: +) }
  }

  /// The counts as log metadata.
  public var metadata: Logger.Metadata {
    let now = now
    return .fields([
      .outcomes: now.outcomes > 0 ? "\(now.outcomes)" : nil, .received: "\(now.received)", .stored: "\(now.stored)",
      .duplicates: "\(now.duplicates)",
      .rejected: "\(now.rejected)", .ignored: "\(now.ignored)", .evaluatedOverTime: "\(now.overTime)",
      .published: "\(now.published)", .publishFailures: "\(now.publishFailures)",
    ])
  }
}

extension Statistics.Counts: Encodable {
  private enum CodingKeys: CodingKey {
    case received, stored, duplicates, rejected, ignored, published, publishFailures
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(received, forKey: .received)
    try container.encode(stored, forKey: .stored)
    try container.encode(duplicates, forKey: .duplicates)
    try container.encode(rejected, forKey: .rejected)
    try container.encode(ignored, forKey: .ignored)
    try container.encode(published, forKey: .published)
    try container.encode(publishFailures, forKey: .publishFailures)
  }
}

extension MessageOutcome {
  /// Why the message is rejected: the first of its reasons; nil if it is not.
  var rejectionCode: Rejection.Code? {
    if case .rejected(let reasons) = kind { reasons.first?.code } else { nil }
  }
}
