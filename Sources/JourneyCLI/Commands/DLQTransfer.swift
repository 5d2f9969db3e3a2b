import DeadLetters
import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP
import JourneyPostgres

/// `journey dlq export`
struct DLQExport: Command {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Write dead letters to standard output, a line of JSON each, bodies as base64.",
    discussion: "Changes no dead letter. The record says who exported how many.",
    examples: [
      "journey dlq export --code malformed > dead-letters.jsonl",
      "journey dlq export --all --state all --reason \"backup\" > dead-letters.jsonl",
    ])

  @OptionGroup var selection: DeadLetterSelectionOptions

  @Flag(help: "All dead letters in that state. It is what no selection means here, too.")
  var all = false

  @Option(help: "The reason, for the record.")
  var reason: String?

  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions

  func execute() async throws {
    let deadLetters = try selection.filter()
    let settings = try await common.settings()
    try await withArchive(settings) { worker in
      let repository = DeadLetterRepository(worker: worker, actor: actor.name)
      try await deadLetters.requireKnown(by: repository, settings)
      try await requireDeadLetters(
        deadLetters.ids, in: deadLetters.states, repository, advice: " (--state all selects it)")
      var before: UUID?
      var count = 0
      while true {
        // Small pages: bodies may be large.
        let page = try await repository.list(deadLetters, before: before, limit: 50, withBodies: true)
        for deadLetter in page {
          let line = encodeJSON(
            DeadLetterJSON(deadLetter, body: .base64),
            reservingCapacity: deadLetter.deadLetter.message.body.count * 2 + 2048)
          Output.line(String(decoding: line, as: UTF8.self))
        }
        count += page.count
        guard let last = page.last else { break }
        before = last.id
      }
      try await repository.recordExport(count, why: reason)
      Output.error("\(count.of("dead letter")) exported")
    }
  }
}

/// `journey dlq import`
struct DLQImport: Command {
  static let configuration = CommandConfiguration(
    commandName: "import", abstract: "Import exported dead letters into the archive.",
    discussion: "A dead letter whose message is archived already stays as it is, so an import can be repeated.",
    examples: [
      "journey dlq import dead-letters.jsonl --dry-run",
      "journey dlq import dead-letters.jsonl",
    ])

  @Argument(help: ArgumentHelp("A file of JSON lines; - for standard input.", valueName: "file"), completion: .file())
  var file: String

  @Flag(help: "Read and check the file; change nothing.")
  var dryRun = false

  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings()
    let deadLetters = try read(HeaderRedaction(settings.deadLetters.redactHeaders))
    var imported = 0
    if !dryRun {
      imported = try await withArchive(settings) { worker in
        let repository = DeadLetterRepository(worker: worker, actor: actor.name)
        var imported = 0
        for part in deadLetters.parts(of: 100, bytes: 16 << 20, size: \.deadLetter.message.body.count) {
          imported += try await repository.insert(Array(part))
        }
        return imported
      }
    }
    report(deadLetters.count, imported)
  }

  /// - Parameter redaction: an export of an earlier version may hold credentials.
  private func read(_ redaction: HeaderRedaction) throws -> [ArchivedDeadLetter] {
    var deadLetters: [ArchivedDeadLetter] = []
    for (number, line) in try Input.read(file).split(separator: UInt8(ascii: "\n")).enumerated() {
      do {
        let limits = JSONLimits(maxDepth: 256, maxBytes: 256 << 20)
        deadLetters.append(
          try DeadLetterJSON.read(try JSONDocument(parsing: Array(line), limits: limits).root, redaction: redaction))
      } catch {
        throw Failure(.refusedInput, "\(file), line \(number + 1): \(error)")
      }
    }
    return deadLetters
  }

  private func report(_ read: Int, _ imported: Int) {
    if output.json {
      printJSON(["read": read, "imported": imported] as JSONObject)
    } else {
      Output.line(
        dryRun
          ? "\(read.of("dead letter")) read, nothing changed"
          : "\(imported.of("dead letter")) imported, \(read - imported) archived already")
    }
  }
}
