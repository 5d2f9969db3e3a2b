import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP

/// `journey map FILE --source NAME`
struct Map: Command {
  static let configuration = CommandConfiguration(
    abstract: "Show what a mapping makes of a message body, and why. Needs no server.",
    discussion:
      "Exit status: 0 if every element of the body becomes an event or is ignored on purpose, 65 if one is rejected.",
    examples: [
      "journey map invoice.json --source stripe",
      "journey map invoice.json --source stripe --verbose --watch",
      "cat event.json | journey map - --source cloudevents --json",
    ])

  @Argument(help: ArgumentHelp("The body; - for standard input.", valueName: "file"), completion: .file())
  var file: String

  @Option(help: "The source of the body, e.g. stripe; cloudevents for a CloudEvent.", completion: .sources)
  var source: String

  @Option(help: "The organisation's id, as in the header x-org-id. Default: a UUID of zeros.")
  var org: String?

  @Option(help: "The message_id property.")
  var messageID: String?

  @Option(help: "The timestamp property, in seconds since 1970.")
  var timestamp: Int64?

  @Option(help: ArgumentHelp("A header of the message.", valueName: "name=value"))
  var header: [String] = []

  @OptionGroup var files: MappingFileOptions

  @Flag(help: "Map what the vendor marks as a test like everything else.")
  var testTraffic = false

  @Flag(help: "Also show the rules that did not match.")
  var verbose = false

  @Flag(help: "Run again whenever the body or a mapping file changes, until interrupted.")
  var watch = false

  @OptionGroup var common: LocalOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings()
    guard watch, file != "-" else { return try await once(settings) }
    var seen: [String: String] = [:]
    while true {
      let found = settings.mappingFiles.merging([file: FileStamp.of(file)]) { $1 }
      if found != seen {
        seen = found
        Output.line("--- \(file) as \(source)")
        // The next change may fix it.
        do { try await once(settings) } catch let failure as Failure {
          Output.error("journey: \(failure.message)")
        } catch is ExitCode {}
      }
      try await Task.sleep(for: .milliseconds(300))
    }
  }

  private func once(_ settings: JourneyConfiguration.Settings) async throws {
    // A mistake in the file of another source is no obstacle here.
    let survey = MappingLoader.survey(directories: files.directories(settings))
    let tenants = try await settings.tenants()
    guard survey.broken[source] == nil, let mapping = survey.catalog.with(tenants: tenants)[source] else {
      throw Failure(survey.broken[source] == nil ? .refusedInput : .settings, survey.message(aboutSource: source))
    }
    let trace = mapping.trace(try input())
    if output.json { printJSON(trace) } else { show(trace) }
    let rejected = trace.elements.filter { if case .rejected = $0.outcome { true } else { false } }.count
    if rejected > 0 { throw ExitCode(Failure.Status.refusedInput.rawValue) }
  }

  private func input() throws -> MappingInput {
    let document: JSONDocument
    let bytes = try Input.read(file)
    do throws(JSONError) { document = try JSONDocument(parsing: bytes) } catch {
      throw Failure(.refusedInput, "\(file): not valid JSON: \(error)")
    }
    let headers = Dictionary(
      header.map { text in
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        return (parts[0].lowercased(), parts.count > 1 ? String(parts[1]) : "")
      }
    ) { $1 }
    var orgID = try org.map { try Input.id($0, "--org", of: "an organisation") }
    // A vendor's body names no organisation; that is no failure here.
    if orgID == nil, source != InboundDecoder.cloudEvents {
      orgID = UUID.zero
    }
    var input = MappingInput(
      document: document, header: { headers[$0.lowercased()] }, messageID: messageID,
      timestamp: timestamp.map { Timestamp(seconds: $0) }, orgID: orgID,
      limits: EventLimits(now: SystemClock().now()))
    input.takesTestTraffic = testTraffic
    return input
  }

  private func show(_ trace: MappingTrace) {
    for element in trace.elements {
      if trace.elements.count > 1 { Output.line("element \(element.position)") }
      Output.line("source    \(trace.source.plain())")
      Output.line("type      \((element.type ?? "(none)").plain())")
      for rule in element.rules where rule.isMatch || verbose {
        Output.line(rule.isMatch ? "rule      \(rule.name)" : "no rule   \(rule.name): \((rule.refusal ?? "").plain())")
      }
      switch element.outcome {
      case .event(let event): show(event)
      case .ignored(_, let reason): Output.line("ignored   \(reason.plain())")
      case .unlisted: Output.line("unlisted  no rule names this type; it is passed by and counted")
      case .rejected(let rejection, _): Output.line("rejected  [\(rejection.code.rawValue)] \("\(rejection)".plain())")
      }
      if !element.fields.isEmpty {
        Output.line("fields")
        Output.table(
          ["field", "from", "value"], element.fields.map { [$0.name, $0.path, $0.value ?? "(missing)"] }, indent: "  "
        )
      }
    }
  }

  private func show(_ event: JourneyEvent) {
    Output.line("event     \(event.type.plain())")
    Output.line("id        \(event.sourceEventID.plain())  (unique in \(event.source.plain()))")
    Output.line("time      \(event.occurredAt.iso8601)")
    let client = event.client.namesOnlyGroup ? "(none)" : event.client.externalID ?? event.client.id?.text ?? ""
    Output.line("client    \(client.plain())\(resolution(of: event.client))")
    if let group = event.client.group { Output.line("group     \(group.plain())") }
    let stage = event.stage?.rawValue ?? event.minStage.map { "at least \($0.rawValue)" }
    Output.line("stage     \(stage ?? "(unchanged)")")
    Output.line("by        \((event.actor ?? EventTypes.actor(of: event.type) ?? .client).rawValue)")
    Output.line("metadata  \(String(decoding: event.metadata, as: UTF8.self).plain())")
  }

  private func resolution(of client: ClientReference) -> String {
    var notes: [String] = []
    if client.namesOnlyGroup { notes.append("the event is for the group") }
    if !client.alternatives.isEmpty {
      notes.append("or, if known sooner in this order, \(client.alternatives.joined(separator: ", "))")
    }
    if let email = client.email { notes.append("otherwise by e-mail address \(email)") }
    if client.ignoresEmail { notes.append("not by e-mail address, which the source does not verify") }
    if client.creation != nil { notes.append("created if unknown") }
    if client.whenUnknown != .asSettingsSay { notes.append("if unknown: \(client.whenUnknown.rawValue)") }
    if !client.linked.isEmpty { notes.append("links \(client.linked.joined(separator: ", "))") }
    if !client.merged.isEmpty { notes.append("merged with \(client.merged.joined(separator: ", "))") }
    return notes.isEmpty ? "" : "  (\(notes.joined(separator: "; ")))"
  }
}
