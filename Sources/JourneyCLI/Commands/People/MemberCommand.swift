import ArgumentParser
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient

/// `journey member add|list|remove`
struct MemberCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "member", abstract: "Manage who may see an organisation's clients on the page and in the API.",
    discussion: "Run these commands with the login that owns the tables, as journey migrate.",
    subcommands: [Add.self, List.self, Remove.self])

  /// The user of a command.
  struct UserOption: ParsableArguments {
    @Option(
      help: "The user's id, the subject of its tokens; or its e-mail address, if the host keeps logins in auth.users.")
    var user: String

    func id(_ repository: MemberRepository) async throws -> UUID {
      if let id = UUID(uuidString: user) { return id }
      guard user.contains("@") else {
        throw Failure(.refusedInput, "--user \(user): expected the UUID of a user, or an e-mail address")
      }
      guard let found = try await repository.users(email: user) else {
        throw Failure(
          .refusedInput, "--user \(user): this database has no table auth.users to find the address in",
          advice: "give the user's id, the subject (sub) of its tokens")
      }
      guard found.count == 1 else {
        throw Failure(
          .refusedInput, "--user \(user): \(found.isEmpty ? "no user has" : "\(found.count) users have") this address")
      }
      return found[0]
    }
  }

  struct Add: Command {
    static let configuration = CommandConfiguration(
      abstract: "Make users members of an organisation, or change their role.",
      discussion: """
        Exit status: 0 if they are members now.
        """,
      examples: [
        "journey member add --org \"Acme Ltd\" --user 0b000000-0000-4000-8000-000000000001",
        "journey member add --org \"Acme Ltd\" --user ada@example.com --role admin",
      ])

    @OptionGroup var user: UserOption
    @Option(help: "The role in the host application; the adapter treats all roles alike.")
    var role: String?
    @OptionGroup var organization: OrganizationOption
    @OptionGroup var output: OutputOptions

    func execute() async throws {
      let (member, outcome) = try await organization.perform { worker, org in
        let repository = MemberRepository(worker: worker)
        let id = try await user.id(repository)
        do {
          return (id, try await repository.add(orgID: org, user: id, role: role))
        } catch let error as MemberRepository.MissingRoleColumn {
          throw Failure(.refusedInput, "--role \(role ?? ""): \(error)")
        }
      }
      if output.json {
        printJSON(["userId": member, "role": role, "outcome": outcome.rawValue] as JSONObject)
      } else {
        switch outcome {
        case .added: Output.line("\(member.text) is a member now")
        case .known: Output.line("\(member.text) is a member already")
        case .changed: Output.line("\(member.text) has the role \(role ?? "") now")
        }
      }
    }
  }

  struct Remove: Command {
    static let configuration = CommandConfiguration(
      abstract: "Take a user out of an organisation.",
      discussion:
        "What the user has open shows nothing more within seconds. Exit status: 0 if removed, 65 if the user was no member.",
      examples: ["journey member remove --org \"Acme Ltd\" --user ada@example.com"])

    @OptionGroup var user: UserOption
    @OptionGroup var organization: OrganizationOption
    @OptionGroup var output: OutputOptions

    func execute() async throws {
      let (member, wasMember) = try await organization.perform { worker, org in
        let repository = MemberRepository(worker: worker)
        let id = try await user.id(repository)
        return (id, try await repository.remove(orgID: org, user: id))
      }
      guard wasMember else {
        throw Failure(.refusedInput, "--user \(user.user): is not a member of \(organization.org)")
      }
      if output.json { return printJSON(["userId": member, "outcome": "removed"] as JSONObject) }
      Output.line("\(member.text) is no member any more")
    }
  }

  struct List: Command {
    static let configuration = CommandConfiguration(
      abstract: "List an organisation's members.",
      examples: ["journey member list --org \"Acme Ltd\"", "journey member list --org \"Acme Ltd\" --json"])
    @OptionGroup var organization: OrganizationOption
    @OptionGroup var output: OutputOptions

    func execute() async throws {
      let found = try await organization.perform { try await MemberRepository(worker: $0).list(orgID: $1) }
      if output.json { return printJSON(found) }
      Output.table(["user", "role"], found.map { [$0.userID.text, ($0.role ?? "").plain(80)] })
    }
  }
}
