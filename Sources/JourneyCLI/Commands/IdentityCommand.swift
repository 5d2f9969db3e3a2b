import ArgumentParser
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient

/// `journey identity …`
struct IdentityCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "identity",
    abstract: "Manage identities: the ids by which sources know the clients.",
    subcommands: [
      IdentityList.self, IdentityLink.self, IdentityUnlink.self, IdentityMerge.self, IdentitySplit.self,
      IdentityImport.self,
      IdentityHistory.self, IdentityGroup.self,
    ])
}

/// The options of every command on identities.
struct IdentityOptions: ParsableArguments {
  @Option(help: "The organisation's id.")
  var org: String

  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions

  func perform<Value: Sendable>(_ body: @Sendable (IdentityRepository, UUID) async throws -> Value) async throws
    -> Value
  {
    let settings = try await common.settings()
    let orgID = try Input.id(org, "--org", of: "an organisation")
    return try await settings.withDatabase {
      try await body(IdentityRepository(worker: $0, actor: actor.name), orgID)
    }
  }
}

/// `journey identity list`
struct IdentityList: Command {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the ids by which sources know the clients of an organisation.",
    examples: [
      "journey identity list --org ORG",
      "journey identity list --org ORG --source hubspot --json",
    ])

  @OptionGroup var options: IdentityOptions
  @Option(help: "Only ids of this source.", completion: .sources)
  var source: String?
  @Option(help: "Only ids of this client.")
  var client: String?
  @Option(help: "How many to show at most.")
  var limit = 100
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let clientID = try client.map { try Input.id($0, "--client", of: "a client") }
    let (source, limit) = (source, max(1, min(limit, 100_000)))
    let found = try await options.perform { repository, org in
      try await repository.list(orgID: org, source: source, client: clientID, limit: limit)
    }
    if found.isEmpty { try await options.common.settings().requireSource(source) { _ in false } }
    if output.json {
      printJSON(found)
    } else if found.isEmpty {
      Output.line("no ids")
    } else {
      Output.table(
        ["source", "id", "client", "name", "since", "via", "event"],
        found.map {
          [
            $0.source, $0.externalID, $0.clientID.text, $0.name ?? "", $0.createdAt.toTheSecond, $0.via ?? "",
            $0.eventID ?? "",
          ].map { $0.line(80) }
        })
    }
  }
}

/// `journey identity link SOURCE ID CLIENT`
struct IdentityLink: Command {
  static let configuration = CommandConfiguration(
    commandName: "link", abstract: "Link a source's id to a client.",
    discussion: "Exit status: 0 if it is linked now, 65 if it is linked to another client or there is no such client.",
    examples: [
      "journey identity link hubspot 4711 ann@example.com --org ORG",
      "journey identity link hubspot deal:815 CLIENT --org ORG --reason \"deal of Ann\"",
    ])

  @Argument(help: "The source, e.g. hubspot.", completion: .sources)
  var source: String
  @Argument(
    help: ArgumentHelp(
      "The id of the client at the source, or of something that belongs to the client: deal:4711.", valueName: "id"))
  var externalID: String
  @Argument(help: "The client's id or e-mail address.")
  var client: String
  @Option(help: "The reason, for the record.")
  var reason: String?
  @OptionGroup var options: IdentityOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let (source, externalID, client) = (source, externalID, client)
    let outcome = try await options.perform { repository, org in
      try await repository.link(orgID: org, source: source, externalID: externalID, client: client, why: reason)
    }
    if let problem = outcome.problem(source, externalID, client) { throw Failure(.refusedInput, problem) }
    if let unknown = try await options.common.settings().unknown(source: source) {
      Output.error("note: no mapping has the source \(source)\(unknown)")
    }
    if output.json {
      printJSON(["source": source, "id": externalID, "added": outcome == .added] as JSONObject)
    } else {
      Output.line(outcome == .known ? "linked already" : "linked")
    }
  }
}

/// `journey identity merge FROM INTO`
struct IdentityMerge: Command {
  static let configuration = CommandConfiguration(
    commandName: "merge", abstract: "Merge two clients: the journey of the first becomes part of the second.",
    discussion:
      "Later events of the first count for the second. journey identity split undoes it. The client's next event updates score and risks.",
    examples: [
      "journey identity merge FROM INTO --org ORG --reason \"one person\"",
      "journey identity merge FROM INTO --org ORG --json",
    ])

  @Argument(help: "The id of the client that is merged into the other.")
  var from: String
  @Argument(help: "The id of the client that remains.")
  var into: String
  @Option(help: "The reason, for the record.")
  var reason: String?
  @OptionGroup var options: IdentityOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let (first, second) = (
      try Input.id(from, "FROM", of: "a client"), try Input.id(into, "INTO", of: "a client")
    )
    guard first != second else { throw Failure(.refusedInput, "\(from) cannot be merged into itself") }
    let (remaining, wasOne): (UUID, Bool)
    do {
      (remaining, wasOne) = try await options.perform { repository, org in
        try await repository.merge(orgID: org, from: first, into: second, why: reason)
      }
    } catch let error as PostgresError where error.sqlState == "23503" {
      throw Failure(.refusedInput, "\(from) or \(into) is not a client of the organisation \(options.org)")
    }
    if wasOne {
      throw Failure(
        .refusedInput,
        "\(from) and \(into) are merged already, into \(remaining.text)")
    }
    if output.json {
      printJSON(["clientId": first, "remainingId": remaining] as JSONObject)
    } else {
      Output.line("\(from) is now \(remaining.text)")
    }
  }
}

/// `journey identity import FILE`
struct IdentityImport: Command {
  static let configuration = CommandConfiguration(
    commandName: "import", abstract: "Link many ids at once, from a CSV file: source,id,client.",
    discussion: """
      The client is an id or an e-mail address. A first line with these headings is skipped; fields may be in double quotes. A line that cannot be \
      linked is reported with its number and does not stop the others. Exit status: 0 if all are linked, 65 otherwise.
      """,
    examples: [
      "journey identity import ids.csv --org ORG",
      "journey identity import - --org ORG --json < ids.csv",
    ])

  @Argument(help: ArgumentHelp("The file; - for standard input.", valueName: "file"), completion: .file())
  var file: String
  @OptionGroup var options: IdentityOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let name = file
    let rows: [(line: Int, fields: [String])]
    do {
      rows = try CSV.rows(String(decoding: try Input.read(file), as: UTF8.self))
    } catch let error as CSV.Unterminated {
      throw Failure(.refusedInput, "\(name):\(error.line): a quoted field has no end")
    }
    let (added, known, problems) = try await options.perform { repository, org in
      var (added, known) = (0, 0)
      var problems: [String] = []
      for (line, fields) in rows where fields.map({ $0.lowercased() }) != ["source", "id", "client"] {
        guard fields.count == 3, !fields.contains("") else {
          problems.append("\(name):\(line): expected three fields: source,id,client")
          continue
        }
        let outcome = try await repository.link(
          orgID: org, source: fields[0], externalID: fields[1], client: fields[2], why: "imported from \(name)")
        if let problem = outcome.problem(fields[0], fields[1], fields[2]) {
          problems.append("\(name):\(line): \(problem)")
        }
        if outcome == .added { added += 1 }
        if outcome == .known { known += 1 }
      }
      return (added, known, problems)
    }
    if output.json {
      printJSON(["linked": added, "known": known, "problems": problems] as JSONObject)
    } else {
      for problem in problems { Output.error(problem) }
      Output.line("\(added) linked, \(known) linked already, \(problems.count) not linked")
    }
    if !problems.isEmpty { throw ExitCode(Failure.Status.refusedInput.rawValue) }
  }
}

extension LinkOutcome {
  fileprivate func problem(_ source: String, _ externalID: String, _ client: String) -> String? {
    switch self {
    case .added, .known: nil
    case .taken(let other):
      "\(source) \(externalID) is linked to the client \(other.text); if both are the same client: journey identity merge"
    case .unknownClient:
      "the organisation has no client \(client)"
        + (client.contains("@") ? "; an address that no source has verified is not searched: give the client's id" : "")
    case .unusable(let what, let fault): "no event could have this \(what): \(fault)"
    case .ambiguous(let count): "\(count) clients of the organisation share the address \(client); give the id of one"
    }
  }
}
