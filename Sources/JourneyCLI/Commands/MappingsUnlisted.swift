import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyPostgres

/// `journey mappings unlisted`
struct MappingsUnlisted: Command {
  static let configuration = CommandConfiguration(
    commandName: "unlisted",
    abstract:
      "List the event types that came and that no rule names: a vendor's new events, or rules that are missing.",
    discussion: """
      serve passes them by, counts them and keeps the first body of each, redacted by the mapping. --sample prints that body: \
      journey mappings unlisted --source stripe --sample invoice.sent | journey map - --source stripe --verbose
      """,
    examples: [
      "journey mappings unlisted --days 7",
      "journey mappings unlisted --source stripe --sample invoice.sent",
    ])

  @Option(help: "Only this source.", completion: .sources) var source: String?

  @Option(help: "Only what came within so many days.") var days: Int?

  @Option(help: ArgumentHelp("Print the body that was kept of this type.", valueName: "type"))
  var sample: String?

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if sample != nil, source == nil { throw ValidationError("--sample needs --source") }
  }

  func execute() async throws {
    let settings = try await common.settings()
    try await settings.withDatabase { worker in
      let repository = UnlistedRepository(worker: worker, sampleDays: settings.rawBodies.sampleDays)
      if let sample, let source {
        guard let body = try await repository.sample(source: source, type: sample) else {
          throw Failure(.refusedInput, "no body is kept of \(sample) of the source \(source)")
        }
        return Output.line(String(decoding: body, as: UTF8.self))
      }
      let since = days.map { SystemClock().now() - .days(Int64($0)) }
      let types = try await repository.list(source: source, since: since)
      if types.isEmpty { try await settings.requireSource(source) { _ in false } }
      if output.json { return printJSON(types) }
      if types.isEmpty { return Output.line("no event came that no rule names") }
      Output.table(
        ["source", "type", "count", "first", "last", "sample"],
        types.map {
          [
            $0.source.plain(), $0.type.plain(), "\($0.count)", $0.firstSeen.iso8601, $0.lastSeen.iso8601,
            $0.hasSample ? "yes" : "no",
          ]
        })
    }
  }
}
