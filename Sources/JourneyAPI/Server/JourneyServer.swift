public import DeadLetters
public import Journey
public import Logging
public import ServiceLifecycle
import Hummingbird
import HummingbirdCore
import NIOCore
import Synchronization

/// The HTTP API and the page.
///
/// It never ends the process: where it cannot listen, or breaks, it says so in the log, and the stream of events goes
/// on without it.
public final class JourneyServer: Service {
  /// What it works with.
  public struct Dependencies: Sendable {
    public var reader: any JourneyReader
    public var intake: any EventIntake
    public var outcomes: any OutcomeIntake
    public var revoker: any ActionRevoker
    public var keys: any RequestKeys
    public var operations: any OperationsService
    public var feed: any ChangeFeed
    public var probes: Probes
    /// Whether the process has few file descriptors left: then no further connections are taken.
    public var isShortOfDescriptors: @Sendable () -> Bool = { false }
    public var clock: any WallClock

    public init(
      reader: any JourneyReader, intake: any EventIntake, outcomes: any OutcomeIntake, revoker: any ActionRevoker,
      keys: any RequestKeys, operations: any OperationsService, feed: any ChangeFeed, probes: Probes,
      clock: any WallClock
    ) {
      self.reader = reader
      self.intake = intake
      self.outcomes = outcomes
      self.revoker = revoker
      self.keys = keys
      self.operations = operations
      self.feed = feed
      self.probes = probes
      self.clock = clock
    }
  }

  private let settings: APISettings
  private let parts: Dependencies
  private let verifier: TokenVerifier?
  private let broadcaster: ChangeBroadcaster
  private let peers: Peers
  private let logger: Logger

  /// - Throws: where the keys cannot be used; in words for a person.
  public init(settings: APISettings, parts: Dependencies, logger: Logger) async throws {
    self.settings = settings
    self.parts = parts
    self.logger = logger
    verifier = try await Self.verifier(settings, parts.clock, logger)
    peers = Peers(
      proxies: try settings.trustedProxies.map { text in
        guard let range = AddressRange(text) else {
          throw KeySetError("api.trustedProxies: an entry is no address and no network such as 10.0.0.0/8")
        }
        return range
      })
    broadcaster = ChangeBroadcaster(
      feed: parts.feed, reader: parts.reader, clock: parts.clock, most: max(1, settings.maxConnections / 2),
      maxOfUser: settings.streamsPerUser, maxOfPeer: Self.share(settings), logger: logger)
  }

  private static func verifier(_ settings: APISettings, _ clock: any WallClock, _ logger: Logger) async throws
    -> TokenVerifier?
  {
    switch settings.keys {
    case nil: nil
    case .secrets(let secrets):
      TokenVerifier(keys: SecretKeys(secrets), algorithm: "HS256", settings: settings, clock: clock)
    case .file(let path, let algorithm):
      TokenVerifier(
        keys: try await KeySet(file: path, algorithm, logger: logger), algorithm: algorithm.rawValue,
        settings: settings, clock: clock)
    case .address(let address, let algorithm):
      TokenVerifier(
        keys: try KeySet(address: address, algorithm, logger: logger), algorithm: algorithm.rawValue,
        settings: settings, clock: clock)
    }
  }

  /// How long requests under way may take to end once the process is to stop.
  private static let timeout = Duration.seconds(3)

  private enum End { case served, watched, late }

  public func run() async throws {
    await withTaskGroup(of: End.self) { group in
      group.addTask { [self] in
        await serve()
        return .served
      }
      // Beside the server and not within it: the server waits for its requests, and those that watch end with the hub.
      group.addTask { [self] in
        try? await broadcaster.run()
        return .watched
      }
      group.addTask {
        try? await gracefulShutdown()
        try? await Task.sleep(for: Self.timeout)
        return .late
      }
      for await end in group where end != .watched { group.cancelAll() }
    }
  }

  private func serve() async {
    do {
      try await application().run()
    } catch {
      if !Task.isCancelled {
        logger.error(
          "the API is off: \(settings.host):\(settings.port) cannot be served (\(error)); change api.port, or set api.enabled: false"
        )
      }
      // Events go on; the end of this service is the end of the process only.
      try? await gracefulShutdown()
    }
  }

  /// What one address may have: never all of it.
  private static func share(_ settings: APISettings) -> Int {
    max(1, min(settings.connectionsPerAddress, settings.maxConnections * 3 / 4))
  }

  private func application() -> some ApplicationProtocol {
    let shares = Shares<Peer>(most: Self.share(settings)), fullLog = JourneyChannel.FullLog(logger)
    let refusals = Shares<Peer>(most: JourneyChannel.refusalsPerAddress)
    let idle = max(.seconds(1), settings.requestTimeout)
    return Application(
      router: router(),
      server: HTTPServerBuilder { [peers] in
        JourneyChannel(
          responder: $0, idleTimeout: idle, peers: peers, shares: shares, refusals: refusals, fullLog: fullLog)
      },
      configuration: ApplicationConfiguration(
        address: .hostname(settings.host, port: settings.port), backlog: 256,
        availableConnectionsDelegate: ConnectionLimit(
          maximum: settings.maxConnections, isShort: parts.isShortOfDescriptors)),
      onServerRunning: { [self] channel in announce(channel.localAddress?.port ?? settings.port) }, logger: quiet)
  }

  /// The framework says at info what is nothing to a person who runs this.
  private var quiet: Logger {
    var quiet = logger
    quiet.logLevel = max(logger.logLevel, .warning)
    return quiet
  }

  private func announce(_ port: Int) {
    let host = settings.host.contains(":") ? "[\(settings.host)]" : settings.host
    logger.info("serving the API and the page", metadata: .fields([.address: "http://\(host):\(port)/"]))
    if verifier == nil {
      logger.warning(
        "nobody can sign in to the API: set API_JWT_SECRET, api.jwksFile or api.jwksURL; /health, /ready and the page answer"
      )
    }
    if !["127.0.0.1", "localhost", "::1"].contains(settings.host) {
      logger.warning(
        "the API is open to other machines without TLS; put a proxy that speaks TLS before it, or set api.host: 127.0.0.1"
      )
    }
  }

  func router() -> Router<APIContext> {
    let router = Router(context: APIContext.self)
    router.add(middleware: SecurityHeadersMiddleware())
    router.add(middleware: FairShare(peers: peers, shares: Shares(most: Self.share(settings))))
    HealthRoutes(probes: parts.probes).add(to: router)
    PageRoutes().add(to: router)
    let api = router.group("api").add(
      middleware: Authentication(
        verifier: verifier, limiter: RateLimiter(rate: settings.requestsPerSecond),
        shares: Shares(most: settings.requestsPerUser)))
    let journey = api.group("journey")
    JourneyRoutes(reader: parts.reader).add(to: journey)
    EventRoute(reader: parts.reader, intake: parts.intake, keys: parts.keys, clock: parts.clock, settings: settings)
      .add(to: journey)
    ActionRoutes(
      reader: parts.reader, outcomes: parts.outcomes, revoker: parts.revoker, clock: parts.clock, settings: settings
    ).add(to: journey)
    LiveRoute(reader: parts.reader, broadcaster: broadcaster).add(to: journey)
    let operators = api.group("operations").add(middleware: OperatorsOnly())
    OperationsRoutes(operations: parts.operations, settings: settings).add(to: operators)
    HoldRoutes(operations: parts.operations, settings: settings).add(to: operators)
    return router
  }
}
