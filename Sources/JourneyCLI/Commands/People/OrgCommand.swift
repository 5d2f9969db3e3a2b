import ArgumentParser
import FoundationEssentials
import Journey
import JourneyPostgres

/// `journey org add|list`
struct OrgCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "org", abstract: "Manage organisations, where no host application does.",
    discussion: "Run these commands with the login that owns the tables, as journey migrate.",
    subcommands: [Add.self, List.self])

  struct Add: Command {
    static let configuration = CommandConfiguration(
      abstract: "Add an organisation and print its id.",
      discussion: """
        An organisation with this name is not added again: it gets the time zone that is given, and its id is printed. Exit status: 0 if the organisation is there now, 65 if the id \
        or the name belongs to another.
        """,
      examples: ["ORG=$(journey org add \"Acme Ltd\")", "journey org add \"Acme Ltd\" --json"])

    @Argument(help: "The name.")
    var name: String
    @Option(help: "The id, a UUID; by default a random one.")
    var id: String?
    @Option(help: "The IANA name of its time zone, such as Europe/Berlin, for clients that have none of their own.")
    var timeZone: String?
    @OptionGroup var common: CommonOptions
    @OptionGroup var output: OutputOptions

    func execute() async throws {
      let name = name
      if let fault = name.allSatisfy(\.isWhitespace) ? "is empty" : EventLimits(now: .startOf2000).fault(of: name) {
        throw Failure(.refusedInput, "NAME \(name.plain(80)): \(fault)")
      }
      let wanted = try id.map { try Input.id($0, "--id", of: "an organisation") }
      let zone = try timeZone.map(Input.timeZone)
      let outcome = try await common.settings().withHostTables {
        try await OrganizationRepository(worker: $0).add(name: name, id: wanted, timeZone: zone)
      }
      switch outcome {
      case .added(let id): report(id, isNew: true)
      case .known(let id): report(id, isNew: false)
      case .takenID(let other):
        throw Failure(.refusedInput, "--id \(wanted?.text ?? ""): is the organisation \(other.plain(80))")
      case .takenName(let others):
        throw Failure(
          .refusedInput, "NAME \(name): is the name of \(others.map(\.text).joined(separator: ", "))",
          advice: "commands could not tell the two by name: choose another")
      }
    }

    private func report(_ id: UUID, isNew: Bool) {
      if output.json {
        printJSON(["id": id, "name": name, "outcome": isNew ? "added" : "known"] as JSONObject)
      } else {
        Output.error(isNew ? "added" : "there already")
        Output.line(id.text)
      }
    }
  }

  struct List: Command {
    static let configuration = CommandConfiguration(
      abstract: "List the organisations and how many contacts they have.",
      examples: ["journey org list", "journey org list --json"])
    @OptionGroup var common: CommonOptions
    @OptionGroup var output: OutputOptions

    func execute() async throws {
      let found = try await common.settings().withHostTables { try await OrganizationRepository(worker: $0).list() }
      if output.json { return printJSON(found) }
      Output.table(
        ["id", "contacts", "time zone", "name"],
        found.map { [$0.id.text, "\($0.contacts)", ($0.timeZone ?? "").plain(40), $0.name.plain(80)] })
    }
  }
}
