public import Journey

/// Where the adapter runs and how much it takes on: everything that can be set but the rules.
///
/// Each key stands in `config/journey.yaml` under its dotted name and in the environment under the same name in
/// capitals: `pipeline.batchSize` is `PIPELINE_BATCH_SIZE`. Flags win over the environment, the environment over the
/// file.
public struct Settings: Sendable {
  /// `amqp.url`, secret: `amqp[s]://user:password@host[,host…]:port/vhost`.
  public var amqpURL: String
  /// `amqp.otherUsers`: other users of the broker as whom instances of the adapter publish, or did.
  public var otherBrokerUsers: Set<String>
  /// `database.url`, secret: a libpq URI or `key=value` list.
  public var databaseURL: String
  /// `database.role`: the role that the adapter works as, whoever it logs in as. Empty: the login role itself.
  public var databaseRole: String
  /// `pipeline.workers`: commits at the same time, each on a connection of its own. 1...32.
  public var workers: Int
  /// `pipeline.batchSize`: the most events a commit takes. 1...5,000.
  public var batchSize: Int
  /// `pipeline.drainSeconds`: how long a stop may take. 1...600.
  public var drainSeconds: Int
  /// `ingest.prefetch`: how many unsettled messages the broker hands out. 1...2,000.
  public var prefetch: Int
  /// `ingest.maximumBodyBytes`: a larger message is a dead letter. 1 KiB...8 MiB.
  public var maximumBodyBytes: Int
  /// `retry.unknownClient`: whether an event of a client that is not known is tried again, before it is a dead letter.
  public var retriesUnknownClients: Bool
  /// `retry.tiers`: the retry queues that it goes through, in this order: of 10s, 1m, 10m, 1h.
  public var retryTiers: [String]
  /// `retry.attemptsPerTier`: how often it goes through each. 1...20.
  public var retryAttemptsPerTier: Int
  /// `deadLetters.…`: what of them is archived, and for how long.
  public var deadLetters: DeadLetterOptions
  /// `publish.window`: how many published messages may await their confirm. 1...4,096.
  public var publishWindow: Int
  /// `names.…`: what the exchanges and queues are called, by the key.
  public var names: [String: String]
  /// `mappings.directories`, made absolute: where mapping files lie; a later directory wins.
  public var mappingDirectories: [String]
  /// `mappings.tenants`, made absolute: which organisation a vendor's account belongs to; nil: every message names its
  /// organisation.
  public var tenantsFile: String?
  /// `decisions.file`, made absolute; nil: the built-in rules.
  public var decisionFile: String?
  /// `migrations.directory`, made absolute.
  public var migrationsDirectory: String
  /// `log.level`: trace, debug, info, notice, warning, error, critical.
  public var logLevel: String
  /// `log.statisticsSeconds`: how often the counts are logged when they have changed. 0: never.
  public var statisticsSeconds: Int
  /// `….…Seconds`: how long others may take.
  public var deadlines: Deadlines
  /// `api.…`: the HTTP API and the page.
  public var api: APIOptions
  /// `publishers`, only in the file: what each user of the broker may report, by name; nil: anybody may report
  /// anything.
  public var publishers: [String: PublisherPolicy.Grant]?
  /// `probes.…`: where probes are answered.
  public var probes: ProbeOptions

  /// `deadLetters.archive`.
  public var archivesDeadLetters: Bool { deadLetters.isArchived }
}

/// A setting that is missing or wrong: which one, and what to do.
public struct SettingsError: Error, Hashable, Sendable, CustomStringConvertible {
  public var description: String
  public init(_ description: String) { self.description = description }
}
