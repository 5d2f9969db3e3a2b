import ArgumentParser
import FoundationEssentials
import Journey
import JourneyPostgres

/// `journey contact add|import|list`
struct ContactCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "contact", abstract: "Manage an organisation's contacts: the clients whose journeys are kept.",
    subcommands: [Add.self, Import.self, List.self])

  struct Add: Command {
    static let configuration = CommandConfiguration(
      abstract: "Add a contact and print its id, the id of the client.",
      discussion: """
        A contact that is known by its id, a source's id or its e-mail address is not added again: its empty fields are filled, and its id \
        is printed. Exit status: 0 if the contact is there now, 65 if it is refused.
        """,
      examples: [
        "CLIENT=$(journey contact add --org \"Acme Ltd\" --name \"Ada Byron\" --email ada@example.com --source-id stripe=cus_1)"
      ])

    @Option(help: "The contact's id, a UUID.")
    var id: String?
    @Option(help: "The name.")
    var name: String?
    @Option(help: "The e-mail address.")
    var email: String?
    @Option(help: "The phone number.")
    var phone: String?
    @Option(help: "The IANA name of the time zone, such as Europe/Berlin; quiet hours go by it.")
    var timeZone: String?
    @Option(help: ArgumentHelp("The id by which a source knows the contact; may be repeated.", valueName: "source=id"))
    var sourceID: [String] = []
    @Flag(help: "Replace other values that are stored; otherwise only fill empty ones.")
    var update = false
    @OptionGroup var organization: OrganizationOption
    @OptionGroup var actor: ActorOptions
    @OptionGroup var output: OutputOptions

    func execute() async throws {
      let row = try row(), isUpdate = update, name = actor.name
      let report = try await organization.perform { worker, org in
        try await ContactRepository(worker: worker, orgID: org, actor: name).store(
          [row], replacesValues: isUpdate, isRehearsal: false, why: "journey contact add")
      }
      if let fault = report.faults.first {
        throw Failure(
          .refusedInput, ["--\(fault.field)", fault.value, fault.message].compactMap(\.self).joined(separator: " "))
      }
      guard let client = report.lastClient else { return }
      let outcome = report.added > 0 ? "added" : report.updated > 0 ? "updated" : "unchanged"
      if output.json {
        printJSON(
          ["id": client, "outcome": outcome, "linked": report.linked, "different": report.different > 0] as JSONObject)
      } else {
        let hint = report.different > 0 ? "; it has other values, which --update replaces" : ""
        Output.error((report.added > 0 ? "added" : report.updated > 0 ? "updated" : "there already") + hint)
        Output.line(client.text)
      }
    }

    private func row() throws -> ContactRow {
      var row = ContactRow(line: 1)
      row.id = try id.map { try Input.id($0, "--id", of: "a contact") }
      (row.name, row.email, row.phone) = (name, email, phone)
      row.timeZone = try timeZone.map(Input.timeZone)
      row.sourceIDs = try sourceID.map { text in
        let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2 else {
          throw Failure(.refusedInput, "--source-id \(text): expected SOURCE=ID, such as stripe=cus_1")
        }
        return SourceID(source: parts[0], id: parts[1])
      }
      return row
    }
  }

  struct List: Command {
    static let configuration = CommandConfiguration(
      abstract: "List contacts with the ids by which sources know them.",
      examples: ["journey contact list --org \"Acme Ltd\"", "journey contact list ada --org \"Acme Ltd\" --json"])

    @Argument(help: "Only contacts with this id, or this text in name, e-mail or phone.")
    var text: String?
    @Option(help: "How many to show at most.")
    var limit = 100
    @OptionGroup var organization: OrganizationOption
    @OptionGroup var output: OutputOptions

    func execute() async throws {
      let text = text, limit = max(1, min(limit, 100_000))
      let found = try await organization.perform { worker, org in
        try await ContactRepository(worker: worker, orgID: org, actor: "").list(matching: text, limit: limit)
      }
      if output.json { return printJSON(found) }
      Output.table(
        ["id", "name", "e-mail", "phone", "time zone", "sources' ids"],
        found.map { contact in
          [
            contact.id.text, contact.name ?? "", contact.email ?? "", contact.phone ?? "",
            contact.timeZone ?? "",
            contact.sourceIDs.joined(separator: ", "),
          ]
          .map { $0.plain(80) }
        })
    }
  }
}
