import ArgumentParser
import FoundationEssentials
import Journey

/// `journey mappings new --from FILE`
struct MappingsNew: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "new",
    abstract: "Write a first draft of a mapping for a body that was never seen before. Needs no server.",
    discussion: "The draft is valid; its comments say what to look at. It goes to standard output.")

  @Option(
    name: .customLong("from"), help: ArgumentHelp("The body; - for standard input.", valueName: "file"),
    completion: .file())
  var file: String

  @Option(name: .long, help: "The source's name, as the header x-source will give it.")
  var source = "new_source"

  func run() async throws {
    try await withExitStatus {
      let bytes = try file == "-" ? Input.readAll() : contents(file)
      guard let document = try? JSONDocument(parsing: bytes) else {
        throw Failure(.refusedInput, "\(file) is not valid JSON")
      }
      Output.line(MappingDraft(document, source: source).text)
    }
  }

  private func contents(_ path: String) throws -> [UInt8] {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw Failure(.refusedInput, "\(path) cannot be read")
    }
    return Array(data)
  }
}
