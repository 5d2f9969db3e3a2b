import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyPostgres

/// `journey actions …`
struct Actions: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "actions", abstract: "Look at actions, report their outcomes, and take them back.",
    discussion: """
      An action is proposed, published to the queue of its channel, run by a worker or a person, and answered; or it expires, is revoked, or is \
      superseded by another one. docs/actions.md explains the states.
      """,
    subcommands: [ActionsList.self, ActionsShow.self, ActionsOutcome.self, ActionsRevoke.self])
}

/// The action that a command is about.
struct ActionArgument: ParsableArguments {
  @Argument(help: "The action's id.")
  var action: String

  func id() throws -> UUID { try Input.id(action, "the action", of: "an action; see journey actions list") }

  static func unknown(_ id: UUID) -> Failure {
    Failure(.failed, "there is no action \(id.text)", advice: "see journey actions list")
  }
}

/// `journey actions list`
struct ActionsList: Command {
  private static let states = ActionState.allCases.map(\.rawValue)

  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List actions, the latest first.",
    discussion: "With --json: a list of objects. For the next page, pass the last id to --after.",
    examples: [
      "journey actions list --open --channel human",
      "journey actions list --client CLIENT",
      "journey actions list --org ORG --state revoked --json",
    ])

  @Option(help: "The organisation's id.")
  var org: String?

  @Option(help: "The client's id.")
  var client: String?

  @Option(
    help: "Only actions in this state: \(Self.states.joined(separator: ", ")).", completion: .list(Self.states))
  var state: String?

  @Option(help: "Only actions of this channel: email, voice, human, …")
  var channel: String?

  @Flag(help: "Only actions to which something may still happen.")
  var open = false

  @Option(help: "How many actions to list at most: 1 to 1000.")
  var limit = 20

  @Option(help: ArgumentHelp("Continue after this action, the last of the previous page.", valueName: "id"))
  var after: String?

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    guard (1...1000).contains(limit) else { throw Failure(.refusedInput, "--limit \(limit): expected 1 to 1000") }
    let filter = ActionFilter(
      orgID: try org.map { try Input.id($0, "--org", of: "an organisation") },
      clientID: try client.map { try Input.id($0, "--client", of: "a client") },
      state: try state.map { name in
        guard let state = ActionState(rawValue: name) else {
          throw Failure(
            .refusedInput,
            "--state \(name.plain(60)): there is no such state\(suggestion(for: name, among: Self.states))",
            advice: "there are: \(Self.states.joined(separator: ", "))")
        }
        return state
      },
      channel: channel.map(Channel.init(rawValue:)), isOpen: open)
    let after = try after.map { try Input.id($0, "--after", of: "an action") }
    let actions = try await common.settings().withDatabase {
      try await ActionRepository(worker: $0).list(filter, after: after, limit: limit)
    }
    guard !output.json else { return printJSON(actions) }
    guard !actions.isEmpty else { return Output.line("no actions") }
    let now = SystemClock().now()
    Output.table(
      ["id", "decided", "action", "channel", "priority", "state", "client"],
      actions.map { action in
        let snoozed = action.snoozedUntil.flatMap { $0 > now ? ", snoozed until \($0.toTheSecond)" : nil }
        return [
          action.id.text, action.decidedAt.toTheSecond, action.action, action.channel, action.priority,
          action.state + (snoozed ?? ""), action.clientName?.line(40) ?? action.clientID.text,
        ]
      })
    if actions.count == limit { Output.line("next page: --after \(actions[actions.count - 1].id.text)") }
  }
}
