import DeadLetters
import AMQPClient
import ArgumentParser
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
import Glibc

/// `journey serve`
struct Serve: Command {
  static let configuration = CommandConfiguration(
    abstract: "Run the adapter until SIGTERM or SIGINT.",
    discussion: """
      On a signal it takes no more events, finishes what it has, publishes and settles. The exit status is 0 where nothing is left: each message that it \
      took is settled, each action confirmed by the broker and recorded. It is 1 where something is, or where the stop takes longer than \
      pipeline.drainSeconds, and the last line says what: messages that are delivered again, actions that the next instance publishes. Nothing is lost.
      """,
    examples: [
      "journey serve",
      "journey serve --config /etc/journey --log-level debug",
      "kill -HUP PID  # read mappings and secrets again",
    ])

  @OptionGroup var common: CommonOptions

  func execute() async throws {
    let signals = Program.signals ?? ProcessSignals.install()
    signals.listen()
    let settings = try await common.settings()
    let rules = try await settings.decisions()
    let mappings = LiveMappings(try await settings.mappings().mappings)
    let unlisted = UnlistedEvents(keepsSamples: settings.rawBodies.isOn)
    let decoder = settings.decoder(rules, live: mappings, unlisted: unlisted)
    let logger = settings.logger()
    logger.info(
      "starting",
      metadata: .fields([
        .version: Build.version, .commit: Build().commit, .host: JourneyConfiguration.Settings.hostName,
        .config: settings.file ?? "",
        .settings: settings.changed.joined(separator: " "),
      ]))
    for warning in settings.warnings { logger.warning("\(warning)") }
    for refusal in MappingLoader.survey(directories: settings.mappingDirectories).refusals.prefix(20) {
      logger.warning("journey mappings check refuses: \(refusal)")
    }
    let descriptors = try DescriptorWatch(settings, logger: logger)
    let liveness = Liveness()
    LivenessWatch.start(liveness)
    LineLogHandler.startFlushing()
    let probes = Probes(liveness)
    if !settings.probes.host.isEmpty {
      ProbeServer(host: settings.probes.host, port: settings.probes.port, probes: probes, logger: logger).start()
    }
    try await failing(.settings) {
      try await StartChecks(settings: settings, onCheck: probes.check, logger: logger).run()
    }
    probes.check("connections")
    try await report(settings.links(), logger)
    try await Adapter(
      settings: settings, rules: rules, decoder: decoder, mappings: mappings, unlisted: unlisted, signals: signals,
      descriptors: descriptors, liveness: liveness, probes: probes, logger: logger
    ).run()
  }
}

/// One line at the start: whether what goes over the network can be read or changed there.
private func report(_ links: [LinkFinding], _ logger: Logger) {
  let unsafe = links.contains { !$0.isSafe }
  let fields: Logger.Metadata = links.reduce(into: [:]) {
    $0[$1.subject.lowercased().replacing(" ", with: "_")] = "\($1.text)"
  }
  logger.log(
    level: unsafe ? .warning : .info,
    unsafe ? "what goes over the network is not safe there; journey doctor says what to do" : "network",
    metadata: fields)
}

/// The adapter, put together: who needs whom, and in which order they start and stop.
private struct Adapter {
  let settings: JourneyConfiguration.Settings
  let rules: DecisionRules
  let decoder: InboundDecoder
  let mappings: LiveMappings
  let unlisted: UnlistedEvents
  let signals: ProcessSignals
  let descriptors: DescriptorWatch
  let liveness: Liveness
  let probes: Probes
  let logger: Logger

  func run() async throws {
    let clock = SystemClock()
    let names = settings.messagingNames
    let decider = settings.decider(rules)
    let health = Health()
    let alarm = BrokerAlarm()
    let store = try await failing(.failed) {
      try await PostgresEventStore.open(
        settings.database(role: settings.workingRole), workers: settings.workers, decider: decider,
        groupEvents: settings.groupEvents, clock: clock, raw: settings.rawBodyStorage(by: mappings))
    }
    let turnLimit = settings.deadlines.brokerRequest + settings.deadlines.brokerStall + 30
    let publishing = liveness.loop("publish", limit: turnLimit)
    let publisher = AMQPPublisher(
      settings: try settings.broker("publish"), window: settings.publishWindow,
      confirmTimeout: .seconds(settings.deadlines.confirm)
    ) { [logger] in
      alarm.record($0)
      report($0, logger)
    } onTurn: {
      $0 ? publishing.turn() : publishing.rest()
    }
    var ingest = IngestConsumer.Settings()
    ingest.names = names
    ingest.prefetch = UInt16(settings.prefetch)
    ingest.retry = settings.retryPolicy
    ingest.otherUsers = settings.otherBrokerUsers
    var connection = try settings.broker("ingest")
    // The ceiling of what waits in memory, with one body on top.
    connection.maxBufferedBytes = 64 << 20
    let changes = [
      PostgresWorker(try settings.database(role: settings.workingRole), name: "pg-changes"),
      PostgresWorker(try settings.database(role: settings.workingRole), name: "pg-listen"),
    ]
    let parked = ParkedRecorder(store: ParkedRepository(worker: changes[0]), logger: logger)
    let source = IngestConsumer(
      connection: connection, deadLetters: publisher, decoder: decoder, settings: ingest, clock: clock, health: health,
      turns: liveness.loop("ingest", limit: turnLimit),
      parked: parked, logger: logger)
    var pipelineSettings = Pipeline.Settings()
    pipelineSettings.workers = settings.workers
    pipelineSettings.batchSize = settings.batchSize
    pipelineSettings.keepsRawBodies = settings.rawBodies.isOn
    pipelineSettings.keepsIgnored = settings.rawBodies.isOn && settings.rawBodies.keepsIgnored
    pipelineSettings.maxRetryDelay = .seconds(settings.deadlines.commitRetry)
    pipelineSettings.commitLimit = 60 + 8 * settings.deadlines.answer
    let feed = PostgresChangeFeed(notifier: changes[0], listener: changes[1])
    let notifier = ChangeNotifier(feed: feed)
    let gate = ActionGate()
    let pipeline = Pipeline(
      source: source, store: NotifyingStore(store, notifier: notifier),
      publisher: AMQPActionPublisher(
        publisher: publisher, exchange: names.actions, changes: names.changes, userID: settings.brokerUser, gate: gate),
      settings: pipelineSettings, health: health, liveness: liveness, logger: logger)
    let leaseWorker = PostgresWorker(try settings.leaseDatabase(), name: "pg-instance")
    let keeper = InstanceKeeper(
      lease: settings.lease(leaseWorker), source: source, gate: gate, publisher: publisher,
      inHand: { pipeline.messagesUnderWay + source.copiesUnderWay }, logger: logger)
    let watch = DatabaseWatch(try settings.database(role: settings.workingRole), health: health)

    let archiveWorker =
      settings.archivesDeadLetters
      ? PostgresWorker(try settings.database(role: settings.workingRole), name: "pg-dead-letters") : nil
    let archiver = try archiveWorker.map { try makeArchiver($0, clock: clock) }
    let sweep = archiveWorker.map { worker in
      DeadLetterSweep(
        retention: DeadLetterRetention(
          worker: worker, clock: clock, closedDays: settings.deadLetters.retentionDays,
          openDays: settings.deadLetters.openRetentionDays), logger: logger)
    }

    let readiness = { @Sendable in
      Readiness(
        isConsuming: source.isConsuming, isPaused: keeper.pause != nil, isPublishing: publisher.isConnected,
        hasDatabase: watch.hasDatabase,
        problems: health.problems + alarm.problems(actions: pipeline.actionsUnderWay, copies: source.copiesUnderWay))
    }
    let api: APIService? =
      if settings.api.isEnabled {
        try await APIService.make(
          settings, decoder: decoder, rules: rules, source: source, statistics: pipeline.statistics,
          pause: { keeper.pause },
          notifier: notifier, feed: feed,
          probes: probes, descriptors: descriptors, logger: logger)
      } else { nil }
    let measured = MetricsSource.Parts(
      pipeline: pipeline, source: source, store: store, publisher: publisher, alarm: alarm, keeper: keeper,
      health: health, liveness: liveness, unlisted: unlisted, waitingReads: { api?.waitingReads })
    let isAsked = settings.probes.hasMetrics && !settings.probes.host.isEmpty
    let metrics = isAsked ? try MetricsSource(settings, rules: rules, measured) : nil
    let manager = ServiceManager(liveness: liveness, readiness: readiness, logger: logger)

    try await failing(.failed) { try await keeper.begin() }
    keeper.start()
    publisher.start()
    api?.start()
    probes.started(readiness)
    if let metrics { probes.serveMetrics { await metrics.text() } }
    let others: [any Service] =
      [
        notifier, watch, descriptors, parked,
        HoldReleaseService(release: HeldActionRelease(worker: changes[0], clock: clock), logger: logger),
        FeedWatch(store: store, isListening: { source.isConsuming && keeper.pause == nil }, logger: logger),
        UnlistedWatch(
          unlisted: unlisted,
          repository: UnlistedRepository(worker: changes[0], sampleDays: settings.rawBodies.sampleDays), logger: logger),
      ] + (try ForwardingService.all(settings, publisher, clock, logger)) + (archiver.map { [$0] } ?? [])
      + (sweep.map { [$0] } ?? [])
    try await serve(
      [pipeline] + (manager.map { [$0] } ?? []) + others + (api?.services ?? []), pipeline.statistics)
    await api?.close()
    await metrics?.close()
    await keeper.end()
    for worker in changes + [leaseWorker] { await worker.close() }
    await publisher.close()
    await store.close()
    await archiveWorker?.close()
    try report(pipeline.leftovers)
  }

  private func report(_ leftovers: Pipeline.Leftovers) throws {
    guard !leftovers.isEmpty else { return }
    var parts: [String] = []
    if leftovers.messages > 0 { parts.append("\(leftovers.messages.of("message")) handed back, to be delivered again") }
    if leftovers.actions > 0 {
      parts.append("\(leftovers.actions.of("action")) not known to be published, left to the next instance")
    }
    throw Failure(.failed, "stopped, but not finished: \(parts.joined(separator: "; "))")
  }

  private func makeArchiver(_ worker: PostgresWorker, clock: SystemClock) throws -> DeadLetterArchiver {
    let deadLetters = DeadLetterConsumer(
      connection: try settings.broker("dead letters"), names: settings.messagingNames,
      otherUsers: settings.otherBrokerUsers, decoder: decoder,
      maxBodyBytes: settings.deadLetters.maxBodyBytes,
      redaction: HeaderRedaction(settings.deadLetters.redactHeaders), clock: clock, logger: logger)
    deadLetters.start()
    return DeadLetterArchiver(
      source: deadLetters, archive: PostgresDeadLetterArchive(worker: worker, clock: clock), logger: logger)
  }

  /// - Parameter workers: the pipeline first.
  private func serve(_ workers: [any Service], _ statistics: Statistics) async throws {
    let services: [any Service] =
      workers + [
        StatisticsLog(statistics: statistics, unlisted: unlisted, interval: settings.statisticsSeconds, logger: logger),
        FileReload(settings: settings, mappings: mappings, signals: signals, logger: logger),
        DrainDeadline(deadline: .seconds(settings.drainSeconds), logger: logger), StopOnSignal(signals: signals),
      ]
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: services.enumerated().map { index, service in
          // The pipeline's end is the end of all: by then everything is settled. So is a signal's.
          .init(
            service: service,
            successTerminationBehavior: index == 0 || service is StopOnSignal ? .gracefullyShutdownGroup : .ignore,
            failureTerminationBehavior: .cancelGroup)
        }, logger: Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() }))
    signals.beginWork()
    try await group.run()
  }

  private func report(_ event: PublisherEvent, _ logger: Logger) {
    switch event {
    case .connected: logger.info("publishing")
    case .lost(let error): logger.warning("the connection for publishing is lost, trying again: \(error)")
    case .channelClosed(let error): logger.warning("the broker closed the channel for publishing: \(error)")
    case .blocked(let reason): logger.warning("the broker takes no messages for now: \(reason)")
    case .unblocked: logger.info("the broker takes messages again")
    case .closed: break
    }
  }
}
