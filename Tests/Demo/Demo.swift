import ArgumentParser
import Foundation
import Glibc
import TestServers

/// `scripts/demo`: the whole way of an event on private servers, from the queue to the recommended action.
@main
struct Demo: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "scripts/demo",
    abstract: "The whole way of an event, from the queue over the database to the recommended action.",
    discussion: """
      Starts a private RabbitMQ and PostgreSQL below .local, runs the adapter on them, sends it some hundred events of \
      nine sources, shows what came out of them, and stops everything. No server of the machine is touched.

      Exit status: 0 where everything came out as it had to, 1 where not, 64 for wrong usage, 130 after Ctrl-C.
      """)

  @Flag(name: .long, help: "Leave everything running, with a line of counts, until Ctrl-C.")
  var keep = false

  @Option(
    name: .customLong("then"),
    help: ArgumentHelp(
      """
      Run a shell command while everything runs, with API_ADDRESS, API_TOKEN, SERVERS_DIRECTORY and JOURNEY_BINARY \
      set. Its status is that of the demo.
      """, valueName: "command"))
  var command: String?

  @Option(name: .long, help: ArgumentHelp("The directory below .local, for runs side by side.", valueName: "name"))
  var directory: String?

  @Option(
    name: .long,
    help: ArgumentHelp("Use this executable instead of building one (also: JOURNEY_BINARY).", valueName: "file"))
  var binary: String?

  func validate() throws {
    if keep, command != nil { throw ValidationError("--keep and --then exclude each other.") }
    if let directory, directory.isEmpty || directory.contains("/") {
      throw ValidationError("--directory is a name, not a path: \(directory)")
    }
  }

  func run() async throws {
    let ending: DemoRun.Ending = if let command { .command(command) } else { keep ? .watch : .stop }
    let environment = ProcessInfo.processInfo.environment
    let run = DemoRun(
      root: TestServers.packageRoot, name: directory ?? (keep ? "run" : "demo"),
      binary: binary ?? environment["JOURNEY_BINARY"], ending: ending, environment: environment,
      console: Console(steps: command == nil && !keep ? 9 : 8))
    let status = await Interruption.cancelling { await run.perform() }
    if status != EXIT_SUCCESS { throw ExitCode(status) }
  }
}
