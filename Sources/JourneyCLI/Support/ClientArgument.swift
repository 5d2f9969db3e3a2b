import ArgumentParser
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient

/// The client that a command is about.
struct ClientArgument: ParsableArguments {
  @Argument(help: "The client's id, e-mail address, or id at a source.")
  var client: String

  @Option(help: "The organisation's id, if several have such a client.")
  var org: String?

  /// - Throws: `Failure` if no client or several match.
  func find(_ worker: PostgresWorker, _ rules: DecisionRules) async throws -> UUID {
    let orgID = try org.map { try Input.id($0, "--org", of: "an organisation") }
    let found = try await ClientReports(worker: worker, rules: rules).find(client, orgID: orgID)
    guard let first = found.first else {
      throw Failure(.failed, "unknown client \(client.plain(200)); give its id, e-mail address, or id at a source")
    }
    guard found.count == 1 else {
      let lines = found.map { "  \($0.id.text)  organisation \($0.orgID.text)  \(($0.name ?? "").plain(200))" }
      throw Failure(
        .refusedInput,
        "\(client.plain(200)) matches \(found.count) clients; give one of these ids, or --org:\n"
          + lines.joined(separator: "\n"))
    }
    return first.id
  }
}
