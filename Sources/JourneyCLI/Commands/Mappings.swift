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
      """)

  @Option(
    name: .long, help: ArgumentHelp("A directory of mapping files, instead of mappings.directories.", valueName: "path")
  )
  var directory: [String] = []

  @Flag(name: .long, help: "Also list the rules that may match the same body.")
  var overlaps = false

  @OptionGroup var common: CommonOptions

  func execute() async throws {
    let settings = try await common.settings()
    let directories = directory.isEmpty ? settings.mappingDirectories : directory
    let found = MappingLoader.survey(directories: directories)
    var problems = (found.problems + found.refusals).map { "\($0)" }
    if let tenants = settings.tenantsFile {
      do { _ = try TenantLoader.load(file: tenants) } catch { problems.append("\(error)") }
    }
    guard problems.isEmpty else {
      throw Failure(.settings, problems.joined(separator: "\n"))
    }
    for warning in found.warnings { Output.line("warning: \(warning)") }
    if overlaps { for overlap in found.overlaps { Output.line("note: \(overlap)") } }
    let rules = found.catalog.mappings.values.map(\.rules.count).reduce(0, +)
    Output.line(
      "\(found.catalog.mappings.count) sources, \(rules) rules, no mistakes; \(found.warnings.count.of("warning")); \(found.overlaps.count) pairs of rules may match the same body (the first one wins)"
    )
  }
}
