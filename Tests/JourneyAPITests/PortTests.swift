import Journey
import Logging
import NIOCore
import NIOPosix
import Testing

@testable import JourneyAPI

@Suite struct PortTests {
  /// An instance that is being replaced still has the port.
  @Test(.timeLimit(.minutes(2))) func probesTakeTheirPortOnceItIsFree() async throws {
    let other = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup).bind(host: "127.0.0.1", port: 0)
      .get()
    let port = try #require(other.localAddress?.port)
    let (lines, log) = AsyncStream.makeStream(of: String.self)
    let server = ProbeServer(
      host: "127.0.0.1", port: port, probes: Probes(Liveness()),
      logger: Logger(label: "test") { _ in LinesHandler(log: log) })
    server.start()
    var logged = lines.makeAsyncIterator()
    #expect(await logged.next()?.contains("cannot be served") == true)
    try await other.close()
    // Reported once, however often it has tried.
    #expect(await logged.next() == "answering probes")
    let client = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup).connect(
      host: "127.0.0.1", port: port
    ).get()
    // The server may have closed it already: nothing was asked.
    try? await client.close()
    await server.close()
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
