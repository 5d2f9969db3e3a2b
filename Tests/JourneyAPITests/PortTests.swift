import Dispatch
import Foundation
import Journey
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import JourneyAPI

/// One after the other: one of them blocks the threads that run tasks.
@Suite(.serialized) struct PortTests {
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

  /// Neither a full pool of threads nor a stuck loop keeps a supervisor from its answer.
  @Test(.timeLimit(.minutes(2))) func probesAnswerThoughNoTaskRuns() async throws {
    let (lines, log) = AsyncStream.makeStream(of: String.self)
    let liveness = Liveness()
    let server = ProbeServer(
      host: "127.0.0.1", port: 0, probes: Probes(liveness),
      logger: Logger(label: "test") { _ in LinesHandler(log: log) })
    server.start()
    var logged = lines.makeAsyncIterator()
    #expect(await logged.next() == "answering probes")
    let port = try #require(server.port)
    liveness.loop("tasks", limit: 1).turn()
    let answers = Answers(), blocked = DispatchSemaphore(value: 0), asked = DispatchSemaphore(value: 0)
    let threads = ProcessInfo.processInfo.activeProcessorCount
    let ask: @Sendable () -> Void = {
      for _ in 0..<threads { blocked.wait() }
      for path in ["/live", "/ready", "/startup"] {
        let answer = Self.get(path, port)
        answers.all.withLock { $0.append(answer) }
        for _ in 0..<3 { liveness.tick() }
      }
      for _ in 0..<threads { asked.signal() }
    }
    Thread.detachNewThread(ask)
    // Every thread of the pool waits until the answers are there.
    await withTaskGroup { group in
      for _ in 0..<threads {
        group.addTask {
          blocked.signal()
          Self.block(on: asked)
        }
      }
    }
    #expect(
      answers.all.withLock(\.self) == [
        #"200 {"status":"ok"}"#,
        #"503 {"status":"not ready","consuming":false,"paused":false,"publishing":false,"database":false,"problems":[{"part":"start","reason":"not started yet; under way: settings"}]}"#,
        #"503 {"status":"starting","problems":[{"part":"start","reason":"not started yet; under way: settings"}]}"#,
      ])
    #expect(Self.get("/live", port) == #"503 {"status":"stuck","stuck":[{"loop":"tasks","seconds":9}]}"#)
    await server.close()
  }

  private final class Answers: Sendable {
    let all = Mutex<[String]>([])
  }

  private static func block(on semaphore: DispatchSemaphore) { semaphore.wait() }

  /// The status and the body, by curl, which has a second.
  private static func get(_ path: String, _ port: Int) -> String {
    let process = Process(), pipe = Pipe()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
    process.arguments = ["-s", "-m", "1", "-w", "\n%{http_code}", "http://127.0.0.1:\(port)\(path)"]
    process.standardOutput = pipe
    do { try process.run() } catch { return "\(error)" }
    let parts = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).split(separator: "\n")
    process.waitUntilExit()
    return parts.reversed().joined(separator: " ")
  }
}

struct LinesHandler: LogHandler {
  let log: AsyncStream<String>.Continuation
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.info
  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }
  func log(event: LogEvent) { log.yield("\(event.message)") }
}
