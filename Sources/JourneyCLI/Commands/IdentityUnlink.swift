import ArgumentParser
import FoundationEssentials
import Journey
import JourneyPostgres

/// `journey identity unlink SOURCE ID`
struct IdentityUnlink: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "unlink", abstract: "Take a source's id away from the client that it means.",
    discussion: """
      What comes under this id from now on looks for its client anew. Events that came under it so far stay with the client. Where the source verifies \
      addresses, an event with the same address would link it again: link it to the right client then. The record keeps what had linked it. \
      Exit status: 0 where it is unlinked, 65 where the id means nobody.
      """)

  @Argument(help: "The source, e.g. hubspot.")
  var source: String
  @Argument(
    help: ArgumentHelp(
      "The id by which the source knows the client, or a thing of the client: deal:4711.", valueName: "id"))
  var externalID: String
  @OptionGroup var reason: ReasonOption
  @Flag(name: .long, help: "Show what it means, change nothing.")
  var dryRun = false
  @OptionGroup var options: IdentityOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await withExitStatus {
      let (source, externalID, why, isRehearsal) = (source, externalID, try reason.text(), dryRun)
      let found = try await options.perform { repository, org in
        try await repository.unlink(
          orgID: org, source: source, externalID: externalID, why: why, isRehearsal: isRehearsal)
      }
      guard let identity = found else {
        throw Failure(.refusedInput, "\(source) \(externalID) means no client of the organisation \(options.org)")
      }
      if output.json {
        printJSON { json in
          json.beginObject()
          json.key("dryRun")
          json.bool(dryRun)
          json.member("source", identity.source)
          json.member("id", identity.externalID)
          json.member("clientId", identity.clientID.text)
          json.member("since", identity.createdAt.iso8601)
          json.member("via", identity.via)
          json.member("eventId", identity.eventID)
          json.endObject()
        }
      } else {
        let how = identity.via.map { ", via \($0)" + (identity.eventID.map { " by the event \($0)" } ?? "") } ?? ""
        let what =
          "\(source) \(externalID) \(dryRun ? "means" : "meant") \(identity.clientID.text) \(identity.name ?? "") since \(identity.createdAt.toTheSecond)\(how)"
        Output.line(what.line(400))
        Output.line(dryRun ? "nothing was changed" : "unlinked; events that came under it stay with that client")
      }
    }
  }
}

/// `journey identity history`
struct IdentityHistory: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "history",
    abstract: "Show what linked, unlinked and merged clients: which event or who, when and why. The newest first.")

  @Option(name: .long, help: "Only what concerns this client.")
  var client: String?
  @Option(name: .long, help: "The most to show.")
  var limit = 100
  @OptionGroup var options: IdentityOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await withExitStatus {
      let clientID = try client.map { try IdentityOptions.id($0, "--client", "a client") }
      let limit = max(1, min(limit, 100_000))
      let entries = try await options.perform { repository, org in
        try await repository.history(orgID: org, client: clientID, limit: limit)
      }
      if output.json {
        printJSON { json in
          json.beginArray()
          for entry in entries {
            json.beginObject()
            json.member("at", entry.at.iso8601)
            json.member("action", entry.action)
            json.member("source", entry.source)
            json.member("id", entry.externalID)
            json.member("clientId", entry.clientID.text)
            json.member("otherClientId", entry.otherClientID?.text)
            json.member("eventId", entry.eventID)
            json.member("actor", entry.actor)
            json.member("why", entry.why)
            json.endObject()
          }
          json.endArray()
        }
      } else {
        Output.table(
          ["at", "what", "source", "id", "client", "other", "event", "who", "why"],
          entries.map { entry in
            [
              entry.at.toTheSecond, entry.action, entry.source ?? "", entry.externalID ?? "", entry.clientID.text,
              entry.otherClientID?.text ?? "",
              entry.eventID ?? "", entry.actor, entry.why ?? "",
            ].map { $0.line(80) }
          })
      }
    }
  }
}
