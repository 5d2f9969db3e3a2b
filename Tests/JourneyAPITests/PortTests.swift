import JourneyPipeline
import Logging
import NIOCore
import NIOEmbedded
import NIOHTTPTypes
import NIOPosix
import Synchronization
import Testing

@testable import JourneyAPI

@Suite struct PortTests {
  /// An instance that is being replaced still has the port.
  @Test(.timeLimit(.minutes(2))) func probesTakeTheirPortOnceItIsFree() async throws {
    let other = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup).bind(host: "127.0.0.1", port: 0).get()
    let port = try #require(other.localAddress?.port)
    let (lines, log) = AsyncStream.makeStream(of: String.self)
    let server = ProbeServer(
      host: "127.0.0.1", port: port,
      readiness: { Readiness(isConsuming: true, isPublishing: true, hasDatabase: true, problems: []) },
      logger: Logger(label: "test") { _ in LinesHandler(log: log) })
    let running = Task { try await server.run() }
    var told = lines.makeAsyncIterator()
    #expect(await told.next()?.contains("cannot be served") == true)
    try await other.close()
    // Told once, however often it has tried.
    #expect(await told.next() == "answering probes")
    let client = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup).connect(host: "127.0.0.1", port: port).get()
    try await client.close()
    running.cancel()
    try await running.value
  }

  /// Refusals that wait for their client to read them are connections like any other: one address gets a few of them.
  @Test func refusalsOfOneAddressTakeFewConnections() async throws {
    let channel = JourneyChannel(
      responder: { _, _, _ in }, idleTimeout: .seconds(60), peers: Peers(proxies: []), shares: Shares(most: 1),
      refusals: Shares(most: 2), noted: JourneyChannel.Noted(Logger(label: "test")))
    let address = try SocketAddress(ipAddress: "192.0.2.1", port: 1)
    var open: [Bool] = []
    for _ in 1...6 {
      let connection = NIOAsyncTestingChannel()
      connection.remoteAddress = address
      _ = try await connection.eventLoop.flatSubmit { channel.setup(channel: connection, logger: Logger(label: "test")) }.get()
      try await connection.connect(to: address).get()
      await connection.testingEventLoop.run()
      open.append(connection.isActive)
    }
    #expect(open == [true, true, true, false, false, false], "one is served, two are told why, the others are closed")
  }
}

private struct LinesHandler: LogHandler {
  let log: AsyncStream<String>.Continuation
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.info
  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }
  func log(event: LogEvent) { log.yield("\(event.message)") }
}
