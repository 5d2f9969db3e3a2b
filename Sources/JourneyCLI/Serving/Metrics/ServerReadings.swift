import AMQPClient
import DeadLetters
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyConfiguration
import JourneyPostgres
import PostgresClient
import Synchronization
import Telemetry

/// What the broker, the database and certificates say, read when somebody asks, on connections of its own that are
/// opened then. A server that is away or slow makes its values absent, and holds up nothing else.
final class ServerReadings: Sendable {
  struct Waiting: Sendable {
    var backlog: StoreBacklog
    var openDeadLetters: Int
  }
  /// nil: not known.
  struct Values: Sendable {
    var database: Waiting?
    var queues: [(name: String, state: QueueState)]?
    var certificates: [Certificate.Kind: Date]?
  }

  /// How long a scrape waits for a server.
  static let limit = Duration.seconds(1)
  /// For how long what was read is given to further scrapes.
  private static let lifetime = Duration.seconds(5)

  private static let maxDeadLetters = 10_000

  private let worker: PostgresWorker
  private let admin: AMQPAdmin
  private let database: CachedReading<Waiting>
  private let queues: CachedReading<[(name: String, state: QueueState)]>
  private let certificates: CachedReading<[Certificate.Kind: Date]>

  init(_ settings: JourneyConfiguration.Settings, evaluatesOverTime: Bool) throws {
    // A reading ends soon after the limit, or those that follow would wait for it.
    var database = try settings.database(role: settings.workingRole)
    database.connectTimeout = min(database.connectTimeout, .seconds(2))
    database.statementTimeout = .seconds(1)
    database.lockTimeout = .seconds(1)
    database.deadline = .seconds(2)
    database.maxReconnectDelay = .seconds(2)
    var broker = try settings.broker("metrics")
    broker.connectTimeout = min(broker.connectTimeout, .seconds(2))
    broker.rpcTimeout = .seconds(2)
    let worker = PostgresWorker(database, name: "pg-metrics"), admin = AMQPAdmin(settings: broker)
    self.worker = worker
    self.admin = admin
    let names = settings.messagingNames
    self.database = CachedReading(lifetime: Self.lifetime, limit: Self.limit) {
      let backlog = try await worker.perform {
        try StoreBacklog.read(on: $0, evaluatesOverTime: evaluatesOverTime)
      }
      let archive = DeadLetterRepository(worker: worker, actor: "")
      return Waiting(backlog: backlog, openDeadLetters: try await archive.countOpen(limit: Self.maxDeadLetters))
    }
    queues = CachedReading(lifetime: Self.lifetime, limit: Self.limit) {
      do {
        let look = try await QueueLook.take(admin, names)
        return names.queues.compactMap { queue in look.states[queue.name].map { (queue.name, $0) } }
      } catch let error as AMQPError where error.code == .accessRefused {
        // The broker is there, and does not show its queues to this user.
        return []
      }
    }
    // They end on a day; reading them connects to each server once more. Of a server that is away the last one counts.
    let known = Mutex<[Certificate.Kind: Date]>([:])
    certificates = CachedReading(lifetime: .seconds(600), limit: .milliseconds(100), keepsOld: true) {
      let found = Dictionary(await settings.certificates().map { ($0.kind, $0.end) }, uniquingKeysWith: min)
      return known.withLock { known in
        known.merge(found) { $1 }
        return known
      }
    }
  }

  func read() async -> Values {
    async let database = database.value()
    async let queues = queues.value()
    async let certificates = certificates.value()
    return await Values(database: database, queues: queues, certificates: certificates)
  }

  func close() async {
    await admin.close()
    await worker.close()
  }
}

extension ServerReadings.Values {
  func add(to scrape: inout Scrape) {
    scrape.set(.databaseUp, database != nil)
    if let database {
      let backlog = database.backlog
      scrape.set(.actionsUnpublished, backlog.unpublishedActions)
      scrape.set(.actionsFailing, backlog.failingActions)
      scrape.set(.actionsHeld, backlog.heldActions)
      scrape.set(.oldestUnpublishedAction, backlog.oldestUnpublished ?? 0)
      scrape.set(.clientsDue, backlog.dueClients)
      scrape.set(.oldestDueClient, backlog.oldestDue ?? 0)
      scrape.set(.deadLettersOpen, database.openDeadLetters)
      scrape.set(.instances, backlog.instances)
      scrape.set(.databaseConnections, backlog.connections)
      scrape.set(.databaseConnectionsLimit, backlog.connectionLimit)
    }
    scrape.set(.brokerUp, queues != nil)
    for queue in queues ?? [] {
      scrape.set(.queueMessages, queue.state.ready, queue.name)
      scrape.set(.queueConsumers, queue.state.consumers, queue.name)
    }
    for (kind, end) in certificates ?? [:] {
      scrape.set(.certificateExpiry, end.timeIntervalSinceNow.rounded(), kind.rawValue)
    }
  }
}
