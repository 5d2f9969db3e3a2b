import Synchronization
import Testing

@testable import Telemetry
@testable import TestSupport

@Suite(.timeLimit(.minutes(1))) struct CachedReadingTests {
  private struct Away: Error {}

  /// A server that answers when the test says so, and a clock that the test sets.
  private final class Server: Sendable {
    let answers = Watched<[Result<Int, Away>]>([])
    let asked = Watched(0)
    let now = Mutex(ContinuousClock.now)

    func reading(limit: Duration = .seconds(30), keepsOld: Bool = false) -> CachedReading<Int> {
      CachedReading(lifetime: .seconds(5), limit: limit, keepsOld: keepsOld, now: { self.now.withLock(\.self) }) {
        let number = self.asked.change { asked in
          asked += 1
          return asked
        }
        try await self.answers.wait { $0.count >= number }
        return try self.answers.now[number - 1].get()
      }
    }
    func answer(_ result: Result<Int, Away>) { answers.change { $0.append(result) } }
    func advance(_ duration: Duration) { now.withLock { $0 += duration } }
  }

  @Test func anOldValueIsGivenOnWhileItIsReadAgain() async throws {
    let server = Server(), reading = server.reading(keepsOld: true)
    server.answer(.success(1))
    #expect(await reading.value() == 1)
    server.advance(.seconds(6))
    #expect(await reading.value() == 1, "the reading is under way")
    #expect(await reading.value() == 1)
    try await server.asked.wait { $0 == 2 }
    server.answer(.success(2))
    while await reading.value() != 2 { await Task.yield() }
    #expect(server.asked.now == 2)
  }

  @Test func aValueIsKeptForItsLifetime() async throws {
    let server = Server(), reading = server.reading()
    server.answer(.success(1))
    #expect(await reading.value() == 1)
    server.answer(.success(2))
    server.advance(.seconds(4))
    #expect(await reading.value() == 1)
    server.advance(.seconds(1))
    #expect(await reading.value() == 2)
    #expect(server.asked.now == 2)
  }

  @Test func aFailureIsKeptTooAndReadAgain() async throws {
    let server = Server(), reading = server.reading()
    server.answer(.failure(Away()))
    #expect(await reading.value() == nil)
    #expect(await reading.value() == nil)
    #expect(server.asked.now == 1)
    server.answer(.success(3))
    server.advance(.seconds(5))
    #expect(await reading.value() == 3)
  }

  /// The old value is not given for a new one.
  @Test func nobodyWaitsLongerThanTheLimit() async throws {
    let server = Server(), reading = server.reading(limit: .milliseconds(20))
    server.answer(.success(1))
    #expect(await reading.value() == 1)
    server.advance(.seconds(5))
    #expect(await reading.value() == nil)
    #expect(await reading.value() == nil)
    // One question, however many wait for its answer.
    #expect(server.asked.now == 2)
  }

  @Test func allWhoAskMeanwhileGetTheSameAnswer() async throws {
    let server = Server(), reading = server.reading()
    async let first = reading.value()
    try await server.asked.wait { $0 == 1 }
    async let second = reading.value()
    async let third = reading.value()
    server.answer(.success(9))
    #expect(await [first, second, third] == [9, 9, 9])
    #expect(server.asked.now == 1)
  }
}
