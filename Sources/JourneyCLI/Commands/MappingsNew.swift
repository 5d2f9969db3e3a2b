import ArgumentParser
import FoundationEssentials
import Journey

/// `journey mappings new --from FILE`
struct MappingsNew: Command {
  static let configuration = CommandConfiguration(
    commandName: "new",
    abstract: "Draft a mapping for the body of a new source. Needs no server.",
    discussion: "Writes the draft to standard output. It is valid; its comments say what to check.")

  @Option(
    name: .customLong("from"), help: ArgumentHelp("The body; - for standard input.", valueName: "file"),
    completion: .file())
  var file: String

  @Option(name: .long, help: "The name of the source, as in the header x-source.")
  var source = "new_source"

  func execute() async throws {
    let bytes = try Input.read(file)
    guard let document = try? JSONDocument(parsing: bytes) else {
      throw Failure(.refusedInput, "\(file) is not valid JSON")
    }
    Output.line(MappingDraft(document, source: source).text)
  }
}
