import Subprocess

/// What came out: tables, counts, and the comparison with the calculations by hand.
struct Results {
  private let console: Console
  private let servers: DemoServers
  private let expected: ExpectedCounts

  init(_ console: Console, _ servers: DemoServers, _ expected: ExpectedCounts) {
    self.console = console
    self.servers = servers
    self.expected = expected
  }

  /// - Throws: `DemoFailure` where a client did not come out as calculated.
  func show(_ journey: Journey, _ expectations: [[String]]) async throws {
    let outcomes = try await Outcome.load(servers)
    console.heading("Clients, as they were evaluated last")
    for line in Table(outcomes).lines { console.result(line) }
    try await showCounts()
    console.heading("Dead letters, with their reasons")
    // The reasons last: they are as long as they need to be.
    console.result(
      try await servers.value(
        "SELECT rpad(code, 22) || reason FROM journey_dead_letters ORDER BY failed_at, id"))
    let explain = ["explain", "hanna.keller@alder.example", "--limit", "4"]
    console.heading("journey \(explain.joined(separator: " "))")
    try await journey.run(explain, output: .currentStandardOutput)
    console.result()
    for expectation in expectations { try compare(expectation, outcomes) }
  }

  private func showCounts() async throws {
    let counts = try await Counts.load(servers)
    var queues: [String] = []
    for channel in ["email", "voice", "human"] {
      queues.append("\(try await servers.depth(of: "journey.actions.\(channel)")) in journey.actions.\(channel)")
    }
    console.heading("Counts")
    console.result(
      """
      \(counts.events) events of \(counts.clients) clients (\(counts.createdClients) of them created by an event) \
      in \(counts.organisations) organisations
      \(counts.scores) scores, each with its explanation
      \(counts.actions - counts.unconfirmed) actions published: \(queues.joined(separator: ", "))
      \(expected.duplicates) messages sent twice, \(expected.deadLetters) that make no sense: \
      \(counts.deadLetters) dead letters
      """)
  }

  private func compare(_ expectation: [String], _ outcomes: [Outcome]) throws {
    let client = expectation[0]
    let found = outcomes.first { $0.client == client && $0.isPublished }?.calculable
    guard found == expectation else {
      console.say("by hand: \(expectation.joined(separator: ", "))")
      console.say(
        "here:    \(found?.joined(separator: ", ") ?? "no such client, or its action was not published")")
      throw DemoFailure("\(client) did not come out as calculated by hand", concernsAdapter: false)
    }
    console.detail("as calculated by hand: \(expectation.joined(separator: ", "))")
  }
}
