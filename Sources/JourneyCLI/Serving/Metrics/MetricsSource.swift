import AMQPClient
import IngestPipeline
import Journey
import JourneyAMQP
import JourneyConfiguration
import JourneyPostgres
import Telemetry

/// What `/metrics` answers: what this process has counted, and what is read of the servers when somebody asks.
final class MetricsSource: Sendable {
  /// What is measured.
  struct Parts: Sendable {
    var pipeline: Pipeline
    var source: IngestConsumer
    var store: PostgresEventStore
    var publisher: AMQPPublisher
    var alarm: BrokerAlarm
    var keeper: InstanceKeeper
    var health: Health
    var liveness: Liveness
    var unlisted: UnlistedEvents
    /// Reads of the API that wait for a connection; nil: there is no API.
    var waitingReads: @Sendable () -> Int?
  }

  private let parts: Parts
  private let servers: ServerReadings

  init(_ settings: JourneyConfiguration.Settings, rules: DecisionRules, _ parts: Parts) throws {
    self.parts = parts
    servers = try ServerReadings(settings, evaluatesOverTime: rules.evaluatesOverTime)
  }

  /// In Prometheus's text format. Takes as long as the slowest server, at most `ServerReadings.limit`.
  func text() async -> [UInt8] {
    let read = await servers.read()
    var scrape = Scrape()
    addMessages(to: &scrape)
    addPublishing(to: &scrape)
    addInstance(to: &scrape)
    read.add(to: &scrape)
    return scrape.text
  }

  func close() async { await servers.close() }

  private func addMessages(to scrape: inout Scrape) {
    let statistics = parts.pipeline.statistics, counts = statistics.now, copies = parts.source.copies
    scrape.set(.messagesReceived, counts.received)
    scrape.set(.messagesIgnored, counts.ignored)
    // Also those that never came: a rate needs the zero before the first one.
    for code in Rejection.Code.all { scrape.set(.messagesRejected, counts.rejections[code] ?? 0, code.rawValue) }
    for tier in MessagingNames.retryTiers { scrape.set(.messagesRetried, copies.retried[tier.name] ?? 0, tier.name) }
    scrape.set(.messagesPostponed, copies.postponed)
    scrape.set(.messagesDeadLettered, copies.deadLettered)
    scrape.set(.messagesInHand, parts.pipeline.messagesUnderWay)
    scrape.set(.eventsStored, counts.stored)
    scrape.set(.eventsDuplicate, counts.duplicates)
    scrape.set(.eventsUnlisted, parts.unlisted.total)
    scrape.set(.messagesSentInFuture, parts.source.sentInFuture)
    scrape.set(.oldestUnprocessedEvent, oldestUnprocessed)
    scrape.set(.commitEvents, statistics.commitEvents)
    scrape.set(.commitSeconds, statistics.commitSeconds)
    scrape.set(.clientsEvaluatedOverTime, counts.overTime)
  }

  /// In seconds. Nothing is known of what waits in the queue while this instance takes nothing from it.
  private var oldestUnprocessed: Double? {
    guard let sentAt = parts.pipeline.oldestUnprocessed else { return parts.source.isConsuming ? 0 : nil }
    return max(0, sentAt.duration(to: .now) / .seconds(1))
  }

  private func addPublishing(to scrape: inout Scrape) {
    let statistics = parts.pipeline.statistics, counts = statistics.now
    for kind in ActionMessage.Kind.allCases {
      for cause in [nil] + PublishFailure.Cause.allCases {
        let attempt = Statistics.Attempt(kind: kind, failure: cause)
        scrape.set(.messagesPublished, counts.attempts[attempt] ?? 0, kind.label, cause?.rawValue ?? "confirmed")
      }
    }
    for action in [nil] + ActionKind.allCases {
      for outcome in ActionOutcome.allCases {
        let count = counts.outcomesOfActions[Statistics.Outcome(action: action, outcome: outcome)] ?? 0
        // An action of another version is an exception.
        if action != nil || count > 0 {
          scrape.set(.outcomesStored, count, action?.rawValue ?? "unknown", outcome.rawValue)
        }
      }
    }
    scrape.set(.confirmSeconds, statistics.confirmSeconds)
    scrape.set(.criticalTime, statistics.criticalTime)
    scrape.set(.actionsUnconfirmed, parts.pipeline.actionsUnderWay)
    scrape.set(.copiesUnconfirmed, parts.source.copiesUnderWay)
    scrape.set(.holdsOpen, parts.keeper.openHolds)
    scrape.set(.blockedSeconds, parts.alarm.blocked / .seconds(1))
  }

  private func addInstance(to scrape: inout Scrape) {
    scrape.set(.consuming, parts.source.isConsuming)
    scrape.set(.paused, parts.keeper.pause != nil)
    scrape.set(.publishing, parts.publisher.isConnected)
    let failing = Set(parts.health.problems.map(\.part))
    for part in Health.Part.allCases { scrape.set(.partFailing, failing.contains(part) ? 1 : 0, part.rawValue) }
    scrape.set(.loopsStuck, parts.liveness.stuck.count)
    scrape.set(.connectionsLost, parts.source.connectionsLost, "ingest")
    scrape.set(.connectionsLost, parts.alarm.connectionsLost, "publish")
    scrape.set(.connectionsLost, parts.store.connectionsLost, "database")
    scrape.set(.poolWaiting, parts.store.waiting, "commit")
    scrape.set(.poolWaiting, parts.waitingReads(), "api")
    scrape.set(.buildInfo, 1, Build.version, Build().commit ?? "")
    scrape.set(.residentMemory, ProcessUsage.residentBytes)
    scrape.set(.cpuSeconds, ProcessUsage.cpuSeconds)
    scrape.set(.openDescriptors, ProcessUsage.openDescriptors)
    scrape.set(.maxDescriptors, ProcessUsage.maxDescriptors)
    scrape.set(.startTime, ProcessUsage.startTime)
  }
}

extension ActionMessage.Kind {
  /// The value of the label `message`.
  fileprivate var label: String {
    switch self {
    case .recommendation: "action"
    case .revocation: "revocation"
    case .clientChange: "client_change"
    }
  }
}
