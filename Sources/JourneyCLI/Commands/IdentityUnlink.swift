import ArgumentParser
import FoundationEssentials
import Journey
import JourneyPostgres

/// `journey identity unlink SOURCE ID`
struct IdentityUnlink: Command {
  static let configuration = CommandConfiguration(
    commandName: "unlink", abstract: "Unlink a source's id from its client.",
    discussion: """
      Later events with this id are matched to a client again. Earlier events stay with the client. If the source verifies e-mail addresses, an \
      event with the same address would link the id again: link it to the right client then. The record keeps what had linked it. \
      Exit status: 0 if it is unlinked, 65 if the id was not linked.
      """,
    examples: [
      "journey identity unlink hubspot 4711 --org ORG --reason \"wrong person\" --dry-run",
      "journey identity unlink hubspot 4711 --org ORG --reason \"wrong person\"",
    ])

  @Argument(help: "The source, e.g. hubspot.", completion: .sources)
  var source: String
  @Argument(
    help: ArgumentHelp(
      "The id of the client at the source, or of something that belongs to the client: deal:4711.", valueName: "id"))
  var externalID: String
  @OptionGroup var reason: ReasonOption
  @Flag(help: "Show what the id is linked to; change nothing.")
  var dryRun = false
  @OptionGroup var options: IdentityOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let (source, externalID, why, isRehearsal) = (source, externalID, try reason.text(), dryRun)
    let found = try await options.perform { repository, org in
      try await repository.unlink(
        orgID: org, source: source, externalID: externalID, why: why, isRehearsal: isRehearsal)
    }
    guard let identity = found else {
      throw Failure(
        .refusedInput, "\(source) \(externalID) is not linked to a client of the organisation \(options.org)")
    }
    if output.json {
      let answer: JSONObject = [
        "dryRun": dryRun, "source": identity.source, "id": identity.externalID, "clientId": identity.clientID,
        "since": identity.createdAt, "via": identity.via, "eventId": identity.eventID,
      ]
      printJSON(answer)
    } else {
      let how = identity.via.map { ", via \($0)" + (identity.eventID.map { " by the event \($0)" } ?? "") } ?? ""
      let what =
        "\(source) \(externalID) \(dryRun ? "is" : "was") linked to \(identity.clientID.text) \(identity.name ?? "") since \(identity.createdAt.toTheSecond)\(how)"
      Output.line(what.line(400))
      Output.line(dryRun ? "nothing was changed" : "unlinked; its events stay with that client")
    }
  }
}

/// `journey identity history`
struct IdentityHistory: Command {
  static let configuration = CommandConfiguration(
    commandName: "history",
    abstract:
      "Show how clients were linked, unlinked, merged and split, and who owned groups: when, by which event or person, and why. The newest first.",
    examples: [
      "journey identity history --org ORG",
      "journey identity history --org ORG --client CLIENT --json",
    ])

  @Option(help: "Only entries about this client.")
  var client: String?
  @Option(help: "How many to show at most.")
  var limit = 100
  @OptionGroup var options: IdentityOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let clientID = try client.map { try Input.id($0, "--client", of: "a client") }
    let limit = max(1, min(limit, 100_000))
    let entries = try await options.perform { repository, org in
      try await repository.history(orgID: org, client: clientID, limit: limit)
    }
    if output.json {
      printJSON(entries)
    } else if entries.isEmpty {
      Output.line("no entries")
    } else {
      Output.table(
        ["at", "what", "source", "id", "client", "other", "event", "who", "why"],
        entries.map { entry in
          [
            entry.at.toTheSecond, entry.action, entry.source ?? "", entry.externalID ?? "", entry.clientID?.text ?? "",
            entry.otherClientID?.text ?? "",
            entry.eventID ?? "", entry.actor, entry.why ?? "",
          ].map { $0.line(80) }
        })
    }
  }
}
