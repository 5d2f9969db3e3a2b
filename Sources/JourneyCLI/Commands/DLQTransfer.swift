import DeadLetters
import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP
import JourneyPostgres

/// `journey dlq export`
struct DLQExport: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Write letters as JSON lines to standard output, bodies as base64.",
    discussion: "Changes nothing; the record notes who has read how many out.")

  @Argument(help: "The letters' ids; left out, the filter says which.")
  var ids: [String] = []

  @OptionGroup var filter: DeadLetterFilterOptions

  @Option(name: .long, help: "Why, for the record.")
  var reason: String?

  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await withExitStatus {
      let deadLetters = try filter.filter(ids: ids)
      try await withArchive(try await common.settings()) { worker in
        let repository = DeadLetterRepository(worker: worker, actor: actor.name)
        try await requireDeadLetters(
          deadLetters.ids, in: deadLetters.states, repository, advice: " (--state all takes it)")
        var before: UUID?
        var count = 0
        while true {
          // Few at a time: bodies may be large.
          let page = try await repository.list(deadLetters, before: before, limit: 50, withBodies: true)
          for deadLetter in page {
            var json = JSONWriter(reservingCapacity: deadLetter.deadLetter.message.body.count * 2 + 2048)
            DeadLetterJSON.write(deadLetter, body: .base64, into: &json)
            Output.line(String(decoding: json.bytes, as: UTF8.self))
          }
          count += page.count
          guard let last = page.last else { break }
          before = last.id
        }
        try await repository.recordExport(count, why: reason)
        Output.error("\(count.of("letter")) exported")
      }
    }
  }
}

/// `journey dlq import`
struct DLQImport: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import", abstract: "Take exported letters into the archive.",
    discussion: "A letter whose message is archived already is left as it is, so that an import can be repeated.")

  @Argument(help: ArgumentHelp("The file of JSON lines; - for standard input.", valueName: "file"), completion: .file())
  var file: String

  @Flag(name: .long, help: "Read and check the file, change nothing.")
  var dryRun = false

  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await withExitStatus {
      let settings = try await common.settings()
      let deadLetters = try read(HeaderRedaction(settings.deadLetters.redactHeaders))
      var taken = 0
      if !dryRun {
        taken = try await withArchive(settings) { worker in
          let repository = DeadLetterRepository(worker: worker, actor: actor.name)
          var taken = 0
          for part in deadLetters.parts(of: 100, bytes: 16 << 20, size: \.deadLetter.message.body.count) {
            taken += try await repository.insert(Array(part))
          }
          return taken
        }
      }
      report(deadLetters.count, taken)
    }
  }

  /// - Parameter redaction: an export of an earlier version may have credentials.
  private func read(_ redaction: HeaderRedaction) throws -> [ArchivedDeadLetter] {
    let bytes: [UInt8]
    if file == "-" {
      bytes = Input.readAll()
    } else {
      guard let data = FileManager.default.contents(atPath: file) else {
        throw Failure(.refusedInput, "\(file) cannot be read")
      }
      bytes = Array(data)
    }
    var deadLetters: [ArchivedDeadLetter] = []
    for (number, line) in bytes.split(separator: UInt8(ascii: "\n")).enumerated() {
      do {
        let limits = JSONLimits(maximumDepth: 256, maximumBytes: 256 << 20)
        deadLetters.append(
          try DeadLetterJSON.read(try JSONDocument(parsing: Array(line), limits: limits).root, redaction: redaction))
      } catch {
        throw Failure(.refusedInput, "\(file), line \(number + 1): \(error)")
      }
    }
    return deadLetters
  }

  private func report(_ read: Int, _ taken: Int) {
    if output.json {
      printJSON { json in
        json.beginObject()
        json.key("read")
        json.int(read)
        json.key("imported")
        json.int(taken)
        json.endObject()
      }
    } else {
      Output.line(
        dryRun
          ? "\(read.of("letter")) read, nothing changed"
          : "\(taken.of("letter")) imported, \(read - taken) here already")
    }
  }
}
