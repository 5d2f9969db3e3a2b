import Foundation
import Journey
import Logging
import NIOCore
import Testing

@testable import JourneyAPI

/// `/metrics` on the probes' address.
extension PortTests {
  private static func withServer(_ body: (Probes, Int) async throws -> Void) async throws {
    let (lines, log) = AsyncStream.makeStream(of: String.self)
    let probes = Probes(Liveness())
    // A machine that is busy with other tests may take longer than a connection is otherwise kept.
    let server = ProbeServer(
      host: "127.0.0.1", port: 0, probes: probes, logger: Logger(label: "test") { _ in LinesHandler(log: log) },
      timeout: .minutes(1))
    server.start()
    var logged = lines.makeAsyncIterator()
    #expect(await logged.next() == "answering probes")
    try await body(probes, try #require(server.port))
    await server.close()
  }

  /// The status, the type and the body.
  private static func answer(_ path: String, _ port: Int, _ options: String...) async throws -> String {
    try await Task.detached {
      let process = Process(), pipe = Pipe()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
      process.arguments =
        ["-s", "-m", "60", "-w", "\n%{http_code} %{content_type}"] + options + ["http://127.0.0.1:\(port)\(path)"]
      process.standardOutput = pipe
      try process.run()
      let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
      process.waitUntilExit()
      return String(decoding: output, as: UTF8.self)
    }.value
  }

  @Test(.timeLimit(.minutes(2))) func theyAreServedOnceThereAreSome() async throws {
    try await Self.withServer { probes, port in
      let before = try await Self.answer("/metrics", port)
      #expect(before.hasSuffix("\n404 application/problem+json"))
      probes.serveMetrics { Array("a 1\n".utf8) }
      let served = "\n200 text/plain; version=0.0.4; charset=utf-8"
      let asked = try await Self.answer("/metrics", port), withQuery = try await Self.answer("/metrics?x=1", port)
      #expect(asked == "a 1\n" + served && withQuery == asked)
      let head = try await Self.answer("/metrics", port, "-I", "-o", "/dev/null")
      #expect(head == served)
      let post = try await Self.answer("/metrics", port, "-X", "POST")
      #expect(post.hasSuffix("\n404 application/problem+json"))
    }
  }

  /// While metrics are read, other probes are answered.
  @Test(.timeLimit(.minutes(2))) func aSlowAnswerHoldsUpNoProbe() async throws {
    try await Self.withServer { probes, port in
      let (asked, hasAsked) = AsyncStream.makeStream(of: Void.self)
      let (released, release) = AsyncStream.makeStream(of: Void.self)
      probes.serveMetrics {
        hasAsked.yield()
        for await _ in released { break }
        return Array("b 2\n".utf8)
      }
      async let slow = Self.answer("/metrics", port)
      for await _ in asked { break }
      let live = try await Self.answer("/live", port)
      #expect(live.hasSuffix("\n200 application/json"))
      release.yield()
      let late = try await slow
      #expect(late.hasPrefix("b 2\n"))
    }
  }
}
