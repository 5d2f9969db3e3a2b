import AMQPClient
import DeadLetters
import Journey
import JourneyAMQP
import JourneyConfiguration
import JourneyPostgres
import PostgresClient
import UnixSignals

/// From the settings of a process to those of its parts.
extension Settings {
  func broker(_ purpose: String) throws -> AMQPConnectionSettings {
    guard !amqpURL.isEmpty else {
      throw Failure(
        .settings, "amqp.url is not set",
        advice: Advice.url("AMQP_URL", example: "amqp://user:password@localhost:5672/"))
    }
    var broker = try AMQPConnectionSettings(uri: amqpURL, connectionName: "journey \(purpose)")
    broker.currentURI = amqpURLFile.map { $0.current(checkOfBroker) }
    broker.rpcTimeout = .seconds(deadlines.brokerRequest)
    broker.stallTimeout = .seconds(deadlines.brokerStall)
    broker.tcpUserTimeout = .seconds(deadlines.brokerStall)
    broker.maxReconnectDelay = .seconds(deadlines.brokerReconnect)
    return broker
  }

  /// The user that the broker knows the adapter by; nil where only a client certificate says it, or no broker is set.
  var brokerUser: String? { (try? AMQPConnectionSettings(uri: amqpURL, connectionName: ""))?.userID }

  /// - Parameter timeoutSeconds: how long a replay waits for a broker that takes no messages.
  func replays(timeoutSeconds: Int) throws -> ReplayService.Settings {
    ReplayService.Settings(
      broker: try broker("replay"), names: messagingNames, publishWindow: publishWindow,
      maxBodyBytes: maxBodyBytes, timeoutSeconds: timeoutSeconds)
  }

  /// - Parameter role: nil for the login role itself.
  func database(role: String?) throws -> PostgresSettings {
    guard !databaseURL.isEmpty else {
      throw Failure(
        .settings, "database.url is not set",
        advice: Advice.url("DATABASE_URL", example: "postgresql://user:password@localhost:5432/journey"))
    }
    var database = try PostgresSettings(conninfo: databaseURL, applicationName: "journey", role: role)
    database.currentString = databaseURLFile.map { $0.current(Self.checkOfDatabase) }
    database.statementTimeout = .seconds(deadlines.statement)
    database.lockTimeout = .seconds(deadlines.lock)
    database.deadline = .seconds(deadlines.answer)
    database.idleInTransactionTimeout = .seconds(deadlines.idleTransaction)
    database.maxReconnectDelay = .seconds(deadlines.databaseReconnect)
    return database
  }

  /// The role that the adapter works as; nil for the login role.
  var workingRole: String? { databaseRole.isEmpty ? nil : databaseRole }

  var retryPolicy: RetryPolicy {
    // A mapping's rule may ask for retries whatever the settings say.
    RetryPolicy(
      codes: retriesUnknownClients ? ["unknown_client"] : [], tiers: retryTiers, attemptsPerTier: retryAttemptsPerTier)
  }

  var messagingNames: MessagingNames {
    var result = MessagingNames()
    result.events = names["events"] ?? result.events
    result.ingest = names["ingest"] ?? result.ingest
    result.dead = names["dead"] ?? result.dead
    result.deadLetters = names["deadLetters"] ?? result.deadLetters
    result.actions = names["actions"] ?? result.actions
    result.outcomes = names["outcomes"] ?? result.outcomes
    result.changes = names["changes"] ?? result.changes
    result.retry = names["retry"] ?? result.retry
    result.actionQueueLimit = actions.queueLimit
    return result
  }
}

/// Connections for as long as a body runs.
extension Settings {
  /// What evaluates clients under rules, and makes the messages that follow.
  func decider(_ rules: DecisionRules) -> Decider {
    Decider(
      rules: rules, revocation: RevocationEvent.message, change: ClientChangedEvent.message,
      followsChanges: actions.publishesChanges, message: ActionEvent.message)
  }

  /// Runs work on an event store until it ends or a signal cancels it.
  func withStore<Value: Sendable>(
    _ rules: DecisionRules, _ body: @escaping @Sendable (PostgresEventStore) async throws -> Value
  ) async throws -> Value {
    let decider = decider(rules)
    let store = try await failing(.failed) {
      try await PostgresEventStore.open(
        database(role: workingRole), workers: 1, decider: decider, groupEvents: groupEvents, clock: SystemClock())
    }
    let work = Task { try await body(store) }
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
    let interruption = Task {
      for await _ in signals { work.cancel() }
    }
    let result = await work.result
    interruption.cancel()
    Output.endProgress()
    await store.close()
    return try result.get()
  }

  func withAdmin<Value>(_ body: (AMQPAdmin) async throws -> Value) async throws -> Value {
    try await AMQPAdmin.with(try broker("topology"), body)
  }

  /// - Parameter asLogin: whether to work as the login role itself, and not as the adapter's role.
  func withDatabase<Value>(
    asLogin: Bool = false, plansByIndexes: Bool = false, _ body: (PostgresWorker) async throws -> Value
  ) async throws -> Value {
    var database = try database(role: asLogin ? nil : workingRole)
    database.plansByIndexes = plansByIndexes
    let worker = PostgresWorker(database)
    let result: Result<Value, any Error>
    do { result = .success(try await body(worker)) } catch { result = .failure(error) }
    await worker.close()
    return try result.get()
  }
}
