import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration

/// `journey mappings coverage DIR`
struct MappingsCoverage: Command {
  static let configuration = CommandConfiguration(
    commandName: "coverage",
    abstract:
      "Count how many bodies in a folder become events, are ignored on purpose, are unlisted, or fail. Needs no server.",
    discussion: """
      The folder names the source (stripe/invoice.paid.json), unless --source does. Each body is read as a message with a message_id and an \
      organisation, and without a timestamp. Its headers may stand beside it: invoice.paid.headers, a line each (x-client-id: 77). \
      Exit status: 0 if no body fails, 65 otherwise.
      """,
    examples: [
      "journey mappings coverage ./bodies",
      "journey mappings coverage ./bodies/stripe --source stripe --verbose",
    ])

  @Argument(
    help: ArgumentHelp("The folder of bodies, one per file (*.json).", valueName: "dir"), completion: .directory)
  var folder: String

  @Option(help: "The source of the bodies. Default: the name of each body's folder.", completion: .sources)
  var source: String?

  @OptionGroup var files: MappingFileOptions

  @Flag(help: "Map what the vendor marks as a test like everything else.")
  var testTraffic = false

  @Flag(help: "Show the result for every body.")
  var verbose = false

  @OptionGroup var common: LocalOptions
  @OptionGroup var output: OutputOptions

  private struct Tally: Encodable {
    var bodies = 0
    var events = 0
    var ignored = 0
    var unlisted = 0
    var failed = 0
    /// How often each type came that no rule names.
    var unlistedTypes: [String: Int] = [:]

    mutating func add(_ other: Tally) {
      bodies += other.bodies
      events += other.events
      ignored += other.ignored
      unlisted += other.unlisted
      failed += other.failed
    }

    var cells: [String] { [bodies, events, ignored, unlisted, failed].map(String.init) }
  }

  private struct Report: Encodable {
    var sources: [String: Tally]
    var failures: [String]
  }

  func execute() async throws {
    let settings = try await common.settings()
    let mappings = try await failing(.settings) {
      try MappingLoader.load(directories: files.directories(settings)).with(tenants: try await settings.tenants())
    }
    if let source, mappings[source] == nil {
      throw Failure(
        .refusedInput, "there is no mapping for the source \(source)\(suggestion(for: source, among: mappings.sources))"
      )
    }
    var tallies: [String: Tally] = [:]
    var failures: [String] = []
    for (path, source) in try bodies() {
      let name = "\(source)/\(path.split(separator: "/").last ?? "")"
      tallies[source, default: Tally()].bodies += 1
      for line in outcomes(path, mappings[source], &tallies[source, default: Tally()]) {
        if verbose, !output.json { Output.line("\(name): \(line.text)") }
        if line.isFailure { failures.append("\(name): \(line.text)") }
      }
    }
    if output.json { printJSON(Report(sources: tallies, failures: failures)) } else { show(tallies) }
    if !failures.isEmpty {
      if !verbose, !output.json { for failure in failures { Output.line(failure) } }
      throw ExitCode(Failure.Status.refusedInput.rawValue)
    }
  }

  /// The files with their sources, sorted. A file outside a source's folder is not a body.
  private func bodies() throws -> [(path: String, source: String)] {
    guard let names = try? FileManager.default.subpathsOfDirectory(atPath: folder) else {
      throw Failure(.refusedInput, "\(folder) cannot be read")
    }
    return names.sorted().filter { $0.hasSuffix(".json") }.compactMap { name in
      let parts = name.split(separator: "/")
      guard let source = source ?? (parts.count > 1 ? String(parts[0]) : nil) else { return nil }
      return ("\(folder)/\(name)", source)
    }
  }

  /// The headers that stand beside a body.
  private func headers(of body: String) -> [String: String] {
    guard let data = FileManager.default.contents(atPath: "\(body.dropLast(5)).headers") else { return [:] }
    var headers: [String: String] = [:]
    for line in String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline) {
      let parts = line.split(separator: ":", maxSplits: 1)
      if parts.count == 2 { headers[parts[0].lowercased()] = String(parts[1].drop { $0.isWhitespace }) }
    }
    return headers
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
    let headers = headers(of: path)
    var input = MappingInput(
      document: document, header: { headers[$0.lowercased()] }, messageID: headers["message_id"] ?? "coverage",
      orgID: UUID.zero,
      limits: EventLimits(now: SystemClock().now()))
    input.takesTestTraffic = testTraffic
    return mapping.trace(input).elements.map { element in
      let rule = element.rules.last { $0.isMatch }?.name
      switch element.outcome {
      case .event(let event):
        tally.events += 1
        let stage = event.stage?.rawValue ?? event.minStage.map { "at-least:\($0.rawValue)" } ?? "keep"
        return (
          "\(event.type) \(stage) id=\(event.sourceEventID) client=\(event.client.externalID ?? "") at=\(event.occurredAt.iso8601) [\(rule ?? "")]",
          false
        )
      case .ignored(let rule, let reason):
        tally.ignored += 1
        return ("ignored [\(rule)] \(reason)", false)
      case .unlisted(let type):
        tally.unlisted += 1
        tally.unlistedTypes[type, default: 0] += 1
        return ("unlisted \(type)", false)
      case .rejected(let rejection, _):
        tally.failed += 1
        return ("fails [\(rejection.code.rawValue)] \(rejection)", true)
      }
    }
  }

  private func show(_ tallies: [String: Tally]) {
    var all = Tally()
    for tally in tallies.values { all.add(tally) }
    let sorted = tallies.sorted { $0.key < $1.key }
    Output.table(
      ["source", "bodies", "events", "ignored", "unlisted", "failed"],
      sorted.map { [$0.key] + $0.value.cells } + [["all"] + all.cells])
    for (source, tally) in sorted {
      for (type, count) in tally.unlistedTypes.sorted(by: { $0.key < $1.key }) {
        Output.line("unlisted: \(source) \(type.plain()) (\(count))")
      }
    }
  }
}
