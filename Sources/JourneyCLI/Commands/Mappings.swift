import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP

/// `journey mappings …`
struct Mappings: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check mapping files, test them with a folder of message bodies, draft a new one, describe the language.",
    subcommands: [
      MappingsCheck.self, MappingsTest.self, MappingsCoverage.self, MappingsUnlisted.self, MappingsNew.self,
      MappingsDescribe.self,
    ])
}

/// `journey mappings check`
struct MappingsCheck: Command {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Report every mistake in the mapping files, and what looks like one. Needs no server.",
    discussion: """
      Exit status: 0 if there is no mistake, 78 otherwise. serve also loads files of earlier versions, which may name unknown event types or \
      ignore without a type.
      """,
    examples: [
      "journey mappings check",
      "journey mappings check --directory ./mappings --overlaps",
    ])

  @OptionGroup var files: MappingFileOptions

  @Flag(help: "Also list the rules that may match the same body.")
  var overlaps = false

  @OptionGroup var common: LocalOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings()
    let directories = files.directories(settings)
    let found = MappingLoader.survey(directories: directories)
    var problems = (found.problems + found.refusals).map { "\($0)" }
    if let tenants = settings.tenantsFile {
      do { _ = try TenantLoader.load(file: tenants) } catch { problems.append("\(error)") }
    }
    let rules = found.catalog.mappings.values.map(\.rules.count).reduce(0, +)
    if output.json {
      printJSON(
        [
          "sources": found.catalog.sources, "rules": rules, "problems": problems,
          "warnings": found.warnings.map { "\($0)" }, "overlaps": found.overlaps.map { "\($0)" },
        ] as JSONObject)
      if !problems.isEmpty { throw ExitCode(Failure.Status.settings.rawValue) }
      return
    }
    guard problems.isEmpty else {
      throw Failure(.settings, problems.joined(separator: "\n"))
    }
    for warning in found.warnings { Output.line("warning: \(warning)") }
    if overlaps { for overlap in found.overlaps { Output.line("note: \(overlap)") } }
    Output.line(
      "\(found.catalog.mappings.count) sources, \(rules) rules, no mistakes; \(found.warnings.count.of("warning")); \(found.overlaps.count) pairs of rules may match the same body (the first one wins)"
    )
  }
}

/// `journey mappings new --from FILE`
struct MappingsNew: Command {
  static let configuration = CommandConfiguration(
    commandName: "new",
    abstract: "Draft a mapping for the body of a new source. Needs no server.",
    discussion: "Writes the draft to standard output. It is valid; its comments say what to check.",
    examples: [
      "journey mappings new --from body.json --source acme > acme.yaml",
      "curl -s https://example.com/body | journey mappings new --from -",
    ])

  @Option(
    name: .customLong("from"), help: ArgumentHelp("The body; - for standard input.", valueName: "file"),
    completion: .file())
  var file: String

  @Option(help: "The name of the source, as in the header x-source.")
  var source = "new_source"

  func execute() async throws {
    let bytes = try Input.read(file)
    guard let document = try? JSONDocument(parsing: bytes) else {
      throw Failure(.refusedInput, "\(file) is not valid JSON")
    }
    Output.line(MappingDraft(document, source: source).text)
  }
}

/// Which mapping files a command reads.
struct MappingFileOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("A directory of mapping files, instead of mappings.directories.", valueName: "path"),
    completion: .directory)
  var directory: [String] = []

  func directories(_ settings: JourneyConfiguration.Settings) -> [String] {
    directory.isEmpty ? settings.mappingDirectories : directory
  }
}
