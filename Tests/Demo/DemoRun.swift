import Foundation
import Glibc
import Subprocess
import TestServers

/// One run of the demo.
struct DemoRun: Sendable {
  /// What happens once the results are shown.
  enum Ending: Sendable {
    case stop
    case watch
    case command(String)
  }

  let root: String
  /// Of the directory below `.local`.
  let name: String
  /// Nil where it is to be built.
  let binary: String?
  let ending: Ending
  let environment: [String: String]
  let console: Console
  let began = ContinuousClock.now

  var directory: String { "\(root)/.local/\(name)" }

  /// - Returns: the exit status. When it returns, nothing runs any more.
  func perform() async -> Int32 {
    do {
      return try await run()
    } catch {
      // After a signal nothing needs to be explained.
      if !Task.isCancelled { console.error("\(error)") }
      return EXIT_FAILURE
    }
  }

  private func run() async throws -> Int32 {
    let scenario = try Scenario()
    console.step("Building the adapter (release)")
    try FileManager.default.createDirectory(atPath: "\(root)/.local", withIntermediateDirectories: true)
    try RunLock.acquire(directory + ".lock", for: ".local/\(name)")
    let binary = try await build()

    console.step("Starting a private RabbitMQ and PostgreSQL below .local/\(name)")
    let servers = try await TestServers.dedicated(directory: directory)
    let result: Result<Int32, any Error>
    do {
      try Task.checkCancellation()
      result = .success(try await run(scenario, DemoServers(servers), binary))
    } catch {
      if !Task.isCancelled, (error as? DemoFailure)?.concernsAdapter ?? true { showLog() }
      result = .failure(error)
    }
    try await servers.stop()
    console.endStep()
    if case .success(EXIT_SUCCESS) = result, case .stop = ending {
      console.say("See it in a browser: make run prints the address of the page, signed in.")
      let seconds = Int((ContinuousClock.now - began) / .seconds(1))
      console.success(
        "The demo ran through in \(seconds) s, and the three hand calculations of docs/demo.md hold.")
    }
    return try result.get()
  }

  private func run(_ scenario: Scenario, _ servers: DemoServers, _ binary: String) async throws -> Int32 {
    var journey = Journey(binary: binary, configuration: "\(root)/config", servers: servers, environment: environment)
    if case .stop = ending {
      let rules = directory + "/decisions.yaml"
      let shipped = try String(contentsOfFile: "\(root)/config/decisions.yaml", encoding: .utf8)
      try Data(try ActionLives.rules(shipped).utf8).write(to: URL(fileURLWithPath: rules))
      journey.rules = rules
    }
    let events = try StoryEvents(scenario)
    var expected = ExpectedCounts(events, scenario)

    try await prepare(journey, servers, scenario, events)
    console.step("Starting the adapter")
    let (status, stopped, later) = try await journey.serve(logFile: directory + "/adapter.log") {
      [journey, expected] adapter in
      console.detail("journey serve runs (pid \(adapter.processID)), its log is .local/\(name)/adapter.log")
      try await Arrival(servers, adapter, console).wait(events: expected.published, deadLetters: 0)
      // While it runs: some messages again, as after a lost acknowledgement, and some that nobody can make sense of.
      try await journey.publish(events.repeated, in: directory + "/events/again")
      try await journey.publish(scenario.unusable, in: directory + "/events/unusable", options: ["--force"])
      try await Arrival(servers, adapter, console).wait(events: expected.stored, deadLetters: expected.deadLetters)
      console.detail("every event is committed, every action confirmed by the broker")

      console.step("What came out")
      try await Results(console, servers, expected).show(journey, scenario.expectations)
      var later = 0
      if case .stop = ending {
        console.step("What becomes of actions")
        later = try await ActionLives(run: self, journey: journey, servers: servers, adapter: adapter).show(scenario)
      }
      let status = try await end(journey, servers, adapter)
      return (status, adapter, later)
    }
    expected.add(later)
    if case .stop = ending { try expected.check(stopped, console) }
    return status
  }

  /// Everything up to the adapter's start.
  private func prepare(
    _ journey: Journey, _ servers: DemoServers, _ scenario: Scenario, _ events: StoryEvents
  ) async throws {
    console.step("Creating the schema, a login role for the adapter, and the queues")
    try await journey.asOwner().run(["migrate"], output: .currentStandardError)
    try await servers.createLogin()
    try await journey.run(["topology", "apply"], output: .currentStandardError)

    console.step("Adding organisations and contacts")
    try await servers.script(scenario.contactsSQL)
    console.detail(
      "\(scenario.organisations.count) organisations, \(scenario.clients.count(where: \.isKnown)) contacts")

    console.step("Publishing events")
    try await journey.publish(events.files, in: directory + "/events")
    console.detail(
      """
      \(events.files.map(\.lines.count).reduce(0, +)) messages hold \(events.count) events of \
      \(events.sources.count) sources; they wait in the queue
      """)
  }

  /// - Returns: the exit status so far.
  private func end(_ journey: Journey, _ servers: DemoServers, _ adapter: Adapter) async throws -> Int32 {
    switch ending {
    case .stop:
      console.step("Stopping")
      return EXIT_SUCCESS
    case .watch:
      console.step("Running until Ctrl-C")
      try await Watch(run: self, journey, servers, adapter).run()
    case .command(let command):
      console.step("Running \(command.prefix { $0 != " " })")
      guard let page = try await journey.page(adapter) else {
        throw DemoFailure("the API is not served")
      }
      return try await journey.shell(command, page, directory: directory)
    }
  }

  private func build() async throws -> String {
    if let binary {
      let path = URL(fileURLWithPath: binary).path
      guard FileManager.default.isExecutableFile(atPath: path) else {
        throw DemoFailure("\(binary) is not an executable file")
      }
      console.detail("using \(binary)")
      return path
    }
    if !FileManager.default.fileExists(atPath: "\(root)/.build/release/journey") {
      console.detail("the first build takes some minutes")
    }
    let swift = Program(executable: "swift")
    let options = ["build", "--package-path", root, "--configuration", "release"]
    try await swift.run(options + ["--product", "journey"], output: .currentStandardError)
    return try await swift.output(options + ["--show-bin-path"]) + "/journey"
  }

  private func showLog() {
    let lines = Adapter(processID: 0, logFile: directory + "/adapter.log").lastLines(20)
    guard !lines.isEmpty else { return }
    console.say("The end of the adapter's log:")
    for line in lines { console.say(String(line)) }
  }
}
