public import Journey

/// Where the adapter runs and its limits: everything that can be set except mappings and rules.
///
/// Flags override the environment, and the environment overrides the file.
public struct Settings: Sendable {
  public let amqpURL: String
  /// Where `amqpURL` comes from a file.
  public let amqpURLFile: SecretFile?
  /// Empty: none.
  public let managementURL: String
  public let otherBrokerUsers: Set<String>
  public let databaseURL: String
  public let databaseURLFile: SecretFile?
  public let databaseRole: String
  public let workers: Int
  public let batchSize: Int
  public let drainSeconds: Int
  public let prefetch: Int
  public let maxBodyBytes: Int
  public let retriesUnknownClients: Bool
  public let retryTiers: [String]
  public let groupEvents: GroupEvents
  public let retryAttemptsPerTier: Int
  public let deadLetters: DeadLetterOptions
  public let rawBodies: RawBodyOptions
  public let actions: ActionOptions
  public let publishWindow: Int
  public let api: APIOptions
  public let probes: ProbeOptions
  /// Empty: the machine's name.
  public let instanceName: String
  /// Names of exchanges and queues, by the last part of the key.
  public let names: [String: String]
  public let mappingDirectories: [String]
  /// nil: every message names its organisation.
  public let tenantsFile: String?
  /// Whether what vendors mark as a test is mapped like everything else.
  public let takesTestTraffic: Bool
  /// nil: the built-in rules.
  public let decisionFile: String?
  public let migrationsDirectory: String
  public let logLevel: String
  public let logFormat: String
  public let statisticsSeconds: Int
  public let deadlines: Deadlines
  /// What each user of the broker may report, by name; nil: anybody may report anything.
  public internal(set) var publishers: [String: PublisherPolicy.Grant]?
  /// What should be changed though it works, a line each: deprecated keys, secrets that everybody can read.
  public let warnings: [String]
  /// `key=value` of the settings that differ from their defaults; of secrets, only that they are set.
  public let changed: [String]
  /// nil: none was read.
  public internal(set) var file: String?

  public var archivesDeadLetters: Bool { deadLetters.isArchived }

  /// Every key, in the order of the documentation.
  public static var all: [Setting] {
    let reader = SettingsReader()
    _ = Settings(reader)
    return reader.settings
  }

  /// The retry queues.
  private static let tiers = ["10s", "1m", "10m", "1h"]

  /// Declares every setting.
  init(_ read: SettingsReader) {
    (amqpURL, amqpURLFile) = read.secret(
      "amqp.url", credential: "amqp-url", "`amqp[s]://user:password@host[,host…]:port/vhost`")
    managementURL =
      read.secret(
        "amqp.managementURL", credential: "amqp-management-url",
        "`http[s]://user:password@host:15672` of RabbitMQ's management API, for `journey doctor`: only there it sees policies; a user with the tag `monitoring` is enough"
      ).text
    otherBrokerUsers = Set(
      read.list("amqp.otherUsers", [], "other broker users that instances publish as, or have published as"))
    (databaseURL, databaseURLFile) = read.secret(
      "database.url", credential: "database-url", "a libpq URI or `key=value` list")
    databaseRole = read.text(
      "database.role", "journey_adapter", "the role to work as, whatever the login; empty: the login")
    workers = read.integer(
      "pipeline.workers", 2, 1...32, deprecatedKey: "pipeline.lanes",
      "commit workers, each with a connection of its own; use more if the database is far away")
    batchSize = read.integer("pipeline.batchSize", 500, 1...5000, "maximum number of events in a commit")
    drainSeconds = read.integer("pipeline.drainSeconds", 20, 1...600, unit: .seconds, "timeout of a graceful stop")
    prefetch = read.integer(
      "ingest.prefetch", 2000, 1...2000,
      "unacked messages that the broker delivers; as few as 16 while bodies are large")
    maxBodyBytes = read.integer(
      "ingest.maximumBodyBytes", 1 << 20, 1024...(8 << 20), unit: .bytes, "a larger message is a dead letter")
    retriesUnknownClients = read.boolean(
      "retry.unknownClient", true, "retry an event of an unknown client before it becomes a dead letter")
    retryTiers = read.list(
      "retry.tiers", Self.tiers, of: Self.tiers, "delay before each retry, in this order; `[]`: none")
    retryAttemptsPerTier = read.integer("retry.attemptsPerTier", 1, 1...20, "attempts in each tier")
    groupEvents =
      GroupEvents(
        rawValue: read.text(
          "groups.events", GroupEvents.owner.rawValue, oneOf: GroupEvents.allCases.map(\.rawValue),
          "what happens to an event that names only a group: it goes to the group's owner or only member and is kept while there is neither, it is always kept, or it is rejected"
        )) ?? .owner
    deadLetters = DeadLetterOptions(read, maxReadBytes: maxBodyBytes)
    rawBodies = RawBodyOptions(read)
    actions = ActionOptions(read)
    publishWindow = read.integer(
      "publish.window", 1024, 1...4096, "maximum number of published messages that await their confirm")
    api = APIOptions(read)
    read.section(
      "publishers", example: "publishers: {crm-relay: {sources: [hubspot, stripe], organizations: \"*\"}}",
      "which broker user may report which events, see docs/operations.md#who-may-report-what; without it anybody may report anything"
    )
    probes = ProbeOptions(read)
    instanceName = read.text(
      "instance.name", "",
      "name of this instance for `journey pause`, which outlives the process; empty: the machine's name; if it is taken, a number is added"
    )
    names = Dictionary(
      uniqueKeysWithValues: [
        ("events", "journey.events", "exchange for events"), ("ingest", "journey.ingest", "queue of events"),
        ("dead", "journey.dead", "exchange for dead letters"),
        ("deadLetters", "journey.dead-letters", "queue of dead letters"),
        ("actions", "journey.actions", "exchange for actions, and prefix of their queues"),
        ("outcomes", "journey.outcomes", "exchange for outcomes of actions"),
        ("changes", "journey.changes", "exchange for changes of clients"),
        ("retry", "journey.retry", "exchange for retries, and prefix of their queues"),
      ].map { key, name, meaning in (key, read.text("names.\(key)", name, meaning)) })
    mappingDirectories = read.paths(
      "mappings.directories", "mappings", installed: "mappings",
      "directories of mapping files; the mapping in a later one wins; an installed program reads its own before the default"
    )
    tenantsFile = read.path(
      "mappings.tenants", example: "# tenants.yaml",
      "file that assigns vendors' accounts to organisations, for messages that name none")
    takesTestTraffic = read.boolean(
      "mappings.testTraffic", false, "whether what vendors mark as a test is mapped like everything else")
    decisionFile = read.path(
      "decisions.file", example: "decisions.yaml", "rules of the decision; without it the built-in ones apply")
    migrationsDirectory = read.path(
      "migrations.directory", "../migrations", installed: "migrations",
      "directory of the files for `journey migrate`; an installed program uses its own")
    logLevel = read.text(
      "log.level", "info", oneOf: ["trace", "debug", "info", "notice", "warning", "error", "critical"],
      "the least severe messages that are logged")
    logFormat = read.text(
      "log.format", "auto", oneOf: ["auto", "text", "json"],
      "text for people, or a JSON object a line; auto: text if standard error is a terminal, otherwise JSON")
    statisticsSeconds = read.integer(
      "log.statisticsSeconds", 10, 0...3600, unit: .seconds, "interval at which changed counts are logged; 0: never")
    deadlines = Deadlines(read)
    warnings = read.warnings
    changed = read.changed
  }
}

/// A setting that is missing or wrong: which one, and what to do.
public struct SettingsError: Error, Hashable, Sendable, CustomStringConvertible {
  public var description: String
  public init(_ description: String) { self.description = description }
}
