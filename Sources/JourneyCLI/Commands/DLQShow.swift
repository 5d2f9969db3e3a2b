import DeadLetters
import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP
import JourneyPostgres

/// `journey dlq show ID`
struct DLQShow: Command {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show a dead letter: the reason, its message, what the mapping makes of it now, and its history.",
    examples: [
      "journey dlq show ID",
      "journey dlq show ID --raw > body.json",
    ])

  @Argument(help: "The id of the dead letter.", completion: .deadLetters)
  var id: String

  @Flag(help: "Write only the body, byte for byte.")
  var raw = false

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings()
    let uuid = try Input.deadLetterID(id)
    var filter = DeadLetterFilter()
    filter.ids = [uuid]
    let (deadLetters, history) = try await withArchive(settings) { [filter] worker in
      let repository = DeadLetterRepository(worker: worker, actor: "")
      let largest = raw ? 0 : max(Self.maxShownBytes, settings.maxBodyBytes)
      let deadLetters = try await repository.list(filter, limit: 1, withBodies: !raw, bodyBytes: largest)
      if raw, let deadLetter = deadLetters.first { try await Self.write(deadLetter, by: repository) }
      return (deadLetters, try await repository.history(of: uuid))
    }
    guard let deadLetter = deadLetters.first else { throw Failure(.failed, "there is no dead letter \(id)") }
    if raw { return }
    let decoder = try await settings.decoder(try await settings.decisions())
    let trace = Result { () throws(Rejection) in try deadLetter.deadLetter.message.trace(with: decoder) }
    if output.json {
      printJSON(DeadLetterDetails(deadLetter, history: history, trace: trace))
    } else {
      show(deadLetter, history, trace)
    }
  }

  /// Writes the body in parts: it may be large.
  private static func write(_ deadLetter: ArchivedDeadLetter, by repository: DeadLetterRepository) async throws {
    var written = 0
    while true {
      let part = try await repository.body(of: deadLetter.id, from: written, count: 4 << 20)
      if part.isEmpty { break }
      Output.write(part, to: 1)
      written += part.count
    }
    let size = deadLetter.deadLetter.message.bodySize
    if written < size {
      Output.error("note: only the first \(written.of("byte")) of \(size) are archived")
    }
  }

  // MARK: For people

  private func show(
    _ archived: ArchivedDeadLetter, _ history: [DeadLetterLogEntry], _ trace: Result<MappingTrace, Rejection>
  ) {
    let deadLetter = archived.deadLetter, message = deadLetter.message
    var rows: [[String]] = [
      ["dead letter", archived.id.text],
      ["state", archived.state.rawValue + (archived.replayID.map { " (replay \($0))" } ?? "")],
      ["code", deadLetter.code], ["field", deadLetter.field ?? ""], ["value", deadLetter.value ?? ""],
      ["source", deadLetter.source ?? ""],
      ["type", deadLetter.type ?? ""], ["organisation", deadLetter.orgID?.text ?? ""],
      ["message id", message.messageID ?? ""],
      [
        "published to",
        "\(message.exchange.isEmpty ? "(default exchange)" : message.exchange) with \(message.routingKey)",
      ],
      ["first failed", deadLetter.firstFailedAt.iso8601], ["last failed", deadLetter.failedAt.iso8601],
      ["tried", deadLetter.attempts.of("time")],
      [
        "replayed",
        deadLetter.replayCount.of("time") + "; " + archived.sameFailures.of("failure") + " of this kind in a row",
      ],
    ]
    if let cause = deadLetter.causedBy { rows.append(["edited from", cause.text]) }
    let shown = rows.filter { !$0[1].isEmpty }
    let width = shown.map { $0[0].count }.max() ?? 0
    for row in shown {
      Output.line(row[0] + String(repeating: " ", count: width - row[0].count + 2) + row[1].line(400))
    }
    Output.line("\nreason")
    for line in deadLetter.reason.split(separator: "\n").prefix(50) { Output.line("  " + String(line).line(400)) }
    let headers = DeadLetterJSON.headers(of: message)
    if !headers.isEmpty {
      Output.line("\nheaders")
      Output.table(
        ["name", "type", "value"], headers.map { [$0.name.line(60), $0.type, $0.value.line(200)] }, indent: "  ")
    }
    Output.line("\nproperties")
    Output.line(pretty(message.properties))
    Output.line(
      "\nbody, \(message.bodySize.of("byte"))"
        + (message.bodyDigest.map { ", SHA-256 " + DeadLetterJSON.hexadecimal($0) } ?? ""))
    if message.bodySize <= Self.maxShownBytes {
      Output.line(pretty(message.body))
    } else {
      let more = message.isCut ? "(only the beginning is archived; to see it: --raw)" : "(all of it: --raw)"
      Output.line(pretty(Array(Array(message.body.prefix(4096)).wholeCharacters(of: message.bodySize))) + "\n… " + more)
    }
    Output.line("\nmapping, as it is now")
    show(trace)
    if !history.isEmpty {
      Output.line("\nhistory")
      Output.table(
        ["at", "what", "who", "why", "result"],
        history.map {
          [
            $0.at.toTheSecond, $0.action + ($0.replayID.map { " (replay \($0))" } ?? ""), $0.actor.line(40),
            ($0.why ?? "").line(60),
            ($0.result ?? "").line(120),
          ]
        }, indent: "  ")
    }
  }

  private func show(_ trace: Result<MappingTrace, Rejection>) {
    switch trace {
    case .failure(let rejection):
      Output.line("  rejected before the mapping: [\(rejection.code.rawValue)] \(rejection.description.line(400))")
    case .success(let trace):
      for element in trace.elements.prefix(20) {
        if trace.elements.count > 1 { Output.line("  element \(element.position)") }
        for rule in element.rules {
          Output.line(
            rule.isMatch
              ? "  rule \(rule.name) matches" : "  rule \(rule.name) does not match: \((rule.refusal ?? "").line(200))")
        }
        Output.line("  \(Self.verdict(element.outcome).line(400))")
        if !element.fields.isEmpty {
          Output.table(
            ["field", "from", "value"],
            element.fields.map { [$0.name, $0.path, ($0.value ?? "(not there)").line(80)] }, indent: "    ")
        }
      }
    }
  }

  /// What the mapping makes of an element, in a line.
  static func verdict(_ outcome: MappingOutcome) -> String {
    switch outcome {
    case .event(let event):
      "becomes \(event.type) \(event.sourceEventID) of \(event.client.externalID ?? event.client.id?.text ?? "")"
    case .unlisted(let type): "is passed by: no rule names the type \(type)"
    case .ignored(_, let reason): "is ignored: \(reason)"
    case .rejected(let rejection, _): "is rejected: [\(rejection.code.rawValue)] \(rejection)"
    }
  }

  /// Larger bodies are not shown in full.
  private static let maxShownBytes = 1 << 20

  private func pretty(_ bytes: [UInt8]) -> String {
    if let document = try? JSONDocument(parsing: bytes) {
      return String(decoding: JSONTree(document.root).bytes(indented: true), as: UTF8.self).printable
    }
    if let text = String(validating: bytes, as: UTF8.self) { return text.printable }
    // Not text: a hex dump, sixteen bytes per line.
    return stride(from: 0, to: min(bytes.count, 512), by: 16).map { start in
      let part = bytes[start..<min(start + 16, bytes.count)]
      let digits = part.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined(separator: " ")
      return digits + String(repeating: " ", count: 50 - digits.count)
        + String(String.UnicodeScalarView(part.map { (0x20..<0x7f).contains($0) ? Unicode.Scalar($0) : "." }))
    }.joined(separator: "\n") + (bytes.count > 512 ? "\n… (all of it: --raw)" : "")
  }
}
