import AMQPClient
import DeadLetters
import FoundationEssentials
import Journey
import JourneyAPI
import JourneyConfiguration
import JourneyAMQP
import IngestPipeline
import JourneyPostgres
import Logging
import PostgresClient
import ServiceLifecycle

/// The API's part of `serve`: its connections and services, and how they stop.
struct APIService {
  let notifier: ChangeNotifier
  private let server: JourneyServer
  private let operations: LiveOperationsService
  private let publisher: AMQPPublisher
  private let pool: PostgresPool
  private let workers: [PostgresWorker]

  static func make(
    _ settings: JourneyConfiguration.Settings, decoder: InboundDecoder, rules: DecisionRules, source: IngestConsumer,
    statistics: Statistics, pause: @escaping @Sendable () -> PauseOrder?,
    notifier: ChangeNotifier, feed: PostgresChangeFeed, probes: Probes,
    descriptors: DescriptorWatch, logger: Logger
  ) async throws -> APIService {
    var reads = try settings.database(role: "authenticated")
    // A person waits for the answer.
    reads.statementTimeout = .seconds(5)
    reads.lockTimeout = .seconds(1)
    reads.deadline = .seconds(8)
    // The planner has no statistics of data that the host has just loaded.
    reads.plansByIndexes = true
    let pool = PostgresPool(reads, size: settings.api.databaseConnections, name: "pg-api")
    do {
      try await pool.perform { _ = try $0.execute("SELECT 1") }
    } catch {
      logger.error(
        "the API cannot read as the role authenticated: \(error); run: GRANT authenticated TO the login of DATABASE_URL"
      )
    }
    let counting = PostgresWorker(try settings.database(role: settings.workingRole), name: "pg-map")
    let deadLetters = PostgresWorker(try settings.database(role: settings.workingRole), name: "pg-operations")
    var quick = try settings.database(role: settings.workingRole)
    quick.statementTimeout = reads.statementTimeout
    quick.lockTimeout = reads.lockTimeout
    quick.deadline = reads.deadline
    // It rebuilds summaries of clients, as commits do.
    quick.plansByIndexes = true
    let requests = PostgresWorker(quick, name: "pg-requests")
    let publisher = AMQPPublisher(settings: try settings.broker("api"), window: 256)
    let clock = SystemClock()
    let reader = PostgresJourneyReader(pool: pool, adapter: counting, lists: requests, rules: rules)
    let operations = LiveOperationsService(
      deadLetters: DeadLetterOperations(
        worker: deadLetters, decoder: decoder, maxBodyBytes: settings.maxBodyBytes),
      // There is one replay at a time: it must not wait long for a broker that takes no messages.
      replays: ReplayRunner(
        settings: try settings.replays(timeoutSeconds: 60), worker: deadLetters, clock: clock, logger: logger),
      statistics: statistics, isConsuming: { source.isConsuming }, pause: pause,
      isArchiving: settings.archivesDeadLetters, holds: HoldRepository(worker: requests),
      instances: InstanceRepository(worker: requests),
      channels: settings.channels(rules))
    let intake = EventPublisher(publisher: publisher, names: settings.messagingNames, decoder: decoder)
    var parts = JourneyServer.Dependencies(
      reader: reader, intake: intake, outcomes: intake, revoker: ActionRepository(worker: requests),
      keys: PostgresRequestKeys(worker: requests), operations: operations, feed: feed, probes: probes,
      clock: clock)
    parts.isShortOfDescriptors = { descriptors.isShort }
    let server = try await failing(.settings) {
      try await JourneyServer(settings: settings.api.served, parts: parts, logger: logger)
    }
    return APIService(
      notifier: notifier, server: server, operations: operations, publisher: publisher, pool: pool,
      workers: [counting, deadLetters, requests])
  }

  var services: [any Service] { [server, operations] }

  /// How many reads wait for a connection to the database.
  var waitingReads: Int { pool.waiting }

  func start() { publisher.start() }

  func close() async {
    await publisher.close()
    await pool.close()
    for worker in workers { await worker.close() }
  }
}

extension APIOptions {
  /// From the settings of a process to those of the API.
  var served: APISettings {
    var served = APISettings()
    served.host = host
    served.port = port
    served.issuer = issuer.isEmpty ? nil : issuer
    served.audience = audience.isEmpty ? nil : audience
    served.operatorClaim = operatorClaim
    served.maxConnections = maxConnections
    served.connectionsPerAddress = connectionsPerAddress
    served.trustedProxies = trustedProxies
    served.requestsPerUser = requestsPerUser
    served.streamsPerUser = streamsPerUser
    served.maxBodyBytes = maxBodyBytes
    served.requestTimeout = .seconds(requestSeconds)
    served.requestsPerSecond = Double(requestsPerSecond)
    let name = JWTAlgorithmName(rawValue: algorithm)
    if let name, let keyFile {
      served.keys = .file(keyFile, name)
    } else if let name, let keyAddress {
      served.keys = .address(keyAddress, name)
    } else if name == nil, !secrets.isEmpty {
      served.keys = .secrets { [secrets, secretFile] in secretFile?.lines ?? secrets }
    }
    return served
  }
}
