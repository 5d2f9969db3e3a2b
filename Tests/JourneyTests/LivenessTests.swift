import Journey
import Testing

@Suite struct LivenessTests {
  @Test func aLoopIsStuckOnceItsLimitIsOver() {
    let liveness = Liveness()
    let loop = liveness.loop("commits", limit: 3)
    for _ in 0..<10 { liveness.tick() }
    #expect(liveness.isLive, "a loop is at rest until its first turn")
    loop.turn()
    for _ in 0..<3 { liveness.tick() }
    #expect(liveness.isLive)
    liveness.tick()
    #expect(liveness.stuck == [Liveness.Stuck(loop: "commits", seconds: 4)])
    loop.turn()
    #expect(liveness.isLive)
  }

  @Test func aLoopAtRestIsNotStuck() {
    let liveness = Liveness()
    let loop = liveness.loop("ingest", limit: 1), other = liveness.loop("tasks", limit: 1)
    loop.turn()
    other.turn()
    loop.rest()
    for _ in 0..<5 { liveness.tick() }
    #expect(liveness.stuck.map(\.loop) == ["tasks"])
  }

  @Test func aStoppedProcessCountsNoTicks() async throws {
    let liveness = Liveness()
    liveness.loop("tasks", limit: 0).turn()
    try await Task.sleep(for: .milliseconds(50))
    #expect(liveness.isLive, "no time passes without a tick")
  }
}
