import ConnectionThreads
import Testing

@Suite struct BackoffTests {
  private let start = MonotonicInstant(nanoseconds: 0)

  private func backoff(hosts: Int = 1) -> Backoff {
    Backoff(base: .milliseconds(100), maximum: .seconds(1), hosts: hosts)
  }

  @Test func `pauses double up to the maximum, with jitter in the upper half of each step`() {
    var longest = backoff()
    #expect((0..<6).map { _ in longest.next(jitter: 1) } == [100, 200, 400, 800, 1000, 1000].map { .milliseconds($0) })
    #expect(longest.attempts == 6)
    var shortest = backoff()
    #expect((0..<5).map { _ in shortest.next(jitter: 0) } == [50, 100, 200, 400, 500].map { .milliseconds($0) })
  }

  @Test func `pauses differ by default, so that instances do not retry together`() {
    let pauses = (0..<50).map { _ in
      var backoff = backoff()
      return backoff.next()
    }
    #expect(Set(pauses).count > 40)
    #expect(pauses.allSatisfy { $0 >= .milliseconds(50) && $0 <= .milliseconds(100) })
  }

  @Test func `a thousand failures overflow nothing`() {
    var backoff = Backoff(base: .seconds(1), maximum: .seconds(3600))
    for _ in 0..<1000 { _ = backoff.next(jitter: 0.5) }
    #expect(backoff.next(jitter: 0.5) == .seconds(2700))
  }

  @Test func `no pause is longer than the maximum, even where the base is`() {
    var backoff = Backoff(base: .seconds(60), maximum: .seconds(10))
    #expect(backoff.next(jitter: 1) == .seconds(10))
  }

  @Test func `after a reset it starts over`() {
    var backoff = backoff()
    for _ in 0..<5 { _ = backoff.next() }
    backoff.reset()
    #expect(backoff.attempts == 0)
    #expect(backoff.next(jitter: 1) == .milliseconds(100))
  }

  @Test func `only a connection that outlived the last step starts it over`() {
    var backoff = backoff()
    for _ in 0..<3 { _ = backoff.next(jitter: 1) }
    backoff.connected(at: start)
    #expect(backoff.next(at: start, jitter: 1) == .milliseconds(800))
    backoff.connected(at: start)
    #expect(backoff.next(at: start + .nanoseconds(99_999_999), jitter: 1) == .seconds(1))
    backoff.connected(at: start)
    #expect(backoff.next(at: start + .seconds(1), jitter: 1) == .milliseconds(100))
  }

  @Test func `a pause is at most as long as the connection before it lived, unless that died at once`() {
    var backoff = backoff()
    for _ in 0..<4 { _ = backoff.next(jitter: 1) }
    backoff.connected(at: start)
    #expect(backoff.next(at: start + .milliseconds(300), jitter: 1) == .milliseconds(300))
    backoff.connected(at: start)
    #expect(backoff.next(at: start + .milliseconds(300), jitter: 1) == .milliseconds(100))
  }

  @Test func `with several hosts the pause comes once each has failed, and grows from round to round`() {
    var backoff = backoff(hosts: 3)
    let expected = [0, 0, 100, 0, 0, 200, 0, 0, 400, 0].map { Duration.milliseconds($0) }
    #expect((0..<10).map { _ in backoff.next(jitter: 1) } == expected)
    // A connection that is dropped at once is a failure like any other.
    backoff.connected(at: start)
    #expect(backoff.next(at: start, jitter: 1) == .zero)
    #expect(backoff.next(at: start, jitter: 1) == .milliseconds(800))
    // After one that lasted, each host has its turn again.
    backoff.connected(at: start)
    let later = start + .seconds(1)
    #expect((0..<4).map { _ in backoff.next(at: later, jitter: 1) } == [0, 0, 100, 0].map { .milliseconds($0) })
  }
}
