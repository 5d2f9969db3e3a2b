import Foundation

/// What a person sees while everything keeps running.
struct Watch {
  private let run: DemoRun
  private let journey: Journey
  private let servers: DemoServers
  private let adapter: Adapter
  private var console: Console { run.console }

  init(run: DemoRun, _ journey: Journey, _ servers: DemoServers, _ adapter: Adapter) {
    self.run = run
    self.journey = journey
    self.servers = servers
    self.adapter = adapter
  }

  /// Says how to use what runs, then a line of counts until the task is cancelled.
  /// - Throws: `DemoFailure` where the adapter ends.
  func run() async throws -> Never {
    console.success("The page, signed in for twelve hours (open it in a browser):")
    if let page = try await journey.page(adapter) {
      console.result(page.link)
    } else {
      console.warning("the page is not served; see .local/\(run.name)/adapter.log")
    }
    let binary = relative(journey.binary)
    console.say(
      """

      Commands on these servers, from another terminal:
        eval "$(scripts/servers env .local/\(run.name))"
        \(binary) doctor
        \(binary) explain hanna.keller@alder.example
      The log: .local/\(run.name)/adapter.log. Ctrl-C stops everything and deletes the data.

      """)
    // What follows the rewritten line needs one of its own.
    defer { if console.isTerminal { console.say() } }
    let clock = Date.ISO8601FormatStyle(timeZone: .current).time(includingFractionalSeconds: false)
    var last = ""
    while true {
      guard !adapter.hasEnded else { throw DemoFailure("the adapter has ended") }
      let counts = try await Counts.load(servers)
      let line = """
        \(counts.events) events, \(counts.actions) actions (\(counts.unconfirmed) not yet confirmed), \
        \(try await servers.depth(of: "journey.ingest")) events wait, \(counts.deadLetters) dead letters
        """
      if console.isTerminal {
        console.rewrite("\(Date.now.formatted(clock))  \(line)")
      } else if line != last {
        console.say(line)
      }
      last = line
      try await Task.sleep(for: .seconds(2))
    }
  }

  private func relative(_ path: String) -> String {
    path.hasPrefix(run.root + "/") ? String(path.dropFirst(run.root.count + 1)) : path
  }
}
