/// Waits for what was sent to arrive in the database.
struct Arrival {
  /// For a machine that stands still, not for one that is slow.
  private static let timeout = Duration.seconds(60)

  private let servers: DemoServers
  private let adapter: Adapter
  private let console: Console

  init(_ servers: DemoServers, _ adapter: Adapter, _ console: Console) {
    self.servers = servers
    self.adapter = adapter
    self.console = console
  }

  /// Returns when so many events and dead letters are stored and the broker has confirmed every action.
  /// - Throws: `DemoFailure` where nothing changes for a minute, or too many dead letters come.
  func wait(events: Int, deadLetters: Int) async throws {
    var last: Counts?
    var changed = ContinuousClock.now
    while true {
      guard !adapter.hasEnded else { throw DemoFailure("the adapter has ended") }
      let counts = try await Counts.load(servers)
      let state = """
        \(counts.events) of \(events) events stored, \(counts.deadLetters) of \(deadLetters) dead letters, \
        \(counts.unconfirmed) actions not yet confirmed
        """
      guard counts.deadLetters <= deadLetters else {
        throw DemoFailure("there are dead letters that should not be: \(state)")
      }
      if counts.events >= events, counts.deadLetters == deadLetters, counts.unconfirmed == 0 {
        console.detail(state)
        return
      }
      if counts != last { changed = .now }
      last = counts
      guard ContinuousClock.now - changed < Self.timeout else {
        throw DemoFailure("nothing has happened for \(Self.timeout.components.seconds) s: \(state)")
      }
      try await Task.sleep(for: .milliseconds(200))
    }
  }
}
