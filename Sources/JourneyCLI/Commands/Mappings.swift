import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP

/// `journey mappings …`
struct Mappings: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check mapping files, test them with a folder of message bodies, draft a new one, describe the language.",
    subcommands: [MappingsCheck.self, MappingsCoverage.self, MappingsNew.self, MappingsDescribe.self])
}

/// `journey mappings check`
struct MappingsCheck: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Report every mistake in the mapping files, and rules that may match the same body. Needs no server.",
    discussion: "Exit status: 0 if serve would load the files, 78 otherwise.")

  @Option(
    name: .long, help: ArgumentHelp("A directory of mapping files, instead of mappings.directories.", valueName: "path")
  )
  var directory: [String] = []

  @Flag(name: .long, help: "Also list the rules that may match the same body.")
  var overlaps = false

  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await withExitStatus {
      let settings = try await common.settings()
      let directories = directory.isEmpty ? settings.mappingDirectories : directory
      let (catalog, warnings) = try await failing(.settings) { try MappingLoader.inspect(directories: directories) }
      if let tenants = settings.tenantsFile {
        _ = try await failing(.settings) { try TenantLoader.load(file: tenants) }
      }
      if overlaps { for warning in warnings { Output.line("note: \(warning)") } }
      let rules = catalog.mappings.values.map(\.rules.count).reduce(0, +)
      Output.line(
        "\(catalog.mappings.count) sources, \(rules) rules, no mistakes; \(warnings.count) pairs of rules may match the same body (the first one wins)"
      )
    }
  }
}

/// `journey mappings coverage DIR`
struct MappingsCoverage: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "coverage",
    abstract: "Count how many bodies in a folder become events, are ignored on purpose, or fail. Needs no server.",
    discussion: """
      The folder names the source (stripe/invoice.paid.json), unless --source does. Each body is read as a message with a message_id and an \
      organisation, and without a timestamp. Exit status: 0 if no body fails, 65 otherwise.
      """)

  @Argument(
    help: ArgumentHelp("The folder of bodies, one per file (*.json).", valueName: "dir"), completion: .directory)
  var directory: String

  @Option(name: .long, help: "The source of the bodies. Default: the name of each body's folder.")
  var source: String?

  @Flag(name: .long, help: "Show the result for every body.")
  var verbose = false

  @OptionGroup var common: CommonOptions

  private struct Tally {
    var bodies = 0
    var events = 0
    var ignored = 0
    var failed = 0
    var byCatchAll = 0
  }

  func run() async throws {
    try await withExitStatus {
      let mappings = try await common.settings().mappings()
      var tallies: [String: Tally] = [:]
      var failures: [String] = []
      for (path, source) in try bodies() {
        let name = "\(source)/\(path.split(separator: "/").last ?? "")"
        tallies[source, default: Tally()].bodies += 1
        for line in outcomes(path, mappings[source], &tallies[source, default: Tally()]) {
          if verbose { Output.line("\(name): \(line.text)") }
          if line.isFailure { failures.append("\(name): \(line.text)") }
        }
      }
      show(tallies)
      if !failures.isEmpty {
        if !verbose { for failure in failures { Output.line(failure) } }
        throw ExitCode(Failure.Status.refusedInput.rawValue)
      }
    }
  }

  /// The files with their sources, sorted. A file outside a source's folder is not a body.
  private func bodies() throws -> [(path: String, source: String)] {
    guard let names = try? FileManager.default.subpathsOfDirectory(atPath: directory) else {
      throw Failure(.refusedInput, "\(directory) cannot be read")
    }
    return names.sorted().filter { $0.hasSuffix(".json") }.compactMap { name in
      let parts = name.split(separator: "/")
      guard let source = source ?? (parts.count > 1 ? String(parts[0]) : nil) else { return nil }
      return ("\(directory)/\(name)", source)
    }
  }

  private func outcomes(_ path: String, _ mapping: Mapping?, _ tally: inout Tally) -> [(text: String, isFailure: Bool)]
  {
    guard let mapping else {
      tally.failed += 1
      return [("there is no mapping for this source", true)]
    }
    guard let data = FileManager.default.contents(atPath: path), let document = try? JSONDocument(parsing: Array(data))
    else {
      tally.failed += 1
      return [("not valid JSON", true)]
    }
    let trace = mapping.trace(
      MappingInput(
        document: document, messageID: "coverage", orgID: UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
        limits: EventLimits(now: SystemClock().now())))
    return trace.elements.map { element in
      let rule = element.rules.last { $0.isMatch }?.name
      if let rule, mapping.rules.first(where: { $0.name == rule })?.isCatchAll == true { tally.byCatchAll += 1 }
      switch element.outcome {
      case .event(let event):
        tally.events += 1
        let stage = event.stage?.rawValue ?? "keep"
        return (
          "\(event.type) \(stage) id=\(event.sourceEventID) client=\(event.client.externalID ?? "") at=\(event.occurredAt.iso8601) [\(rule ?? "")]",
          false
        )
      case .ignored(let rule, let reason):
        tally.ignored += 1
        return ("ignored [\(rule)] \(reason)", false)
      case .rejected(let rejection, _):
        tally.failed += 1
        return ("fails [\(rejection.code.rawValue)] \(rejection)", true)
      }
    }
  }

  private func show(_ tallies: [String: Tally]) {
    func row(_ name: String, _ tally: Tally) -> [String] {
      [name] + [tally.bodies, tally.events, tally.ignored, tally.failed, tally.byCatchAll].map(String.init)
    }
    var all = Tally()
    for tally in tallies.values {
      all.bodies += tally.bodies
      all.events += tally.events
      all.ignored += tally.ignored
      all.failed += tally.failed
      all.byCatchAll += tally.byCatchAll
    }
    Output.table(
      ["source", "bodies", "events", "ignored", "failed", "by catch-all"],
      tallies.sorted { $0.key < $1.key }.map { row($0.key, $0.value) } + [row("all", all)])
  }
}
