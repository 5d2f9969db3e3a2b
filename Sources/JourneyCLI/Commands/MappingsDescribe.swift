import ArgumentParser
import FoundationEssentials
import JourneyConfiguration

/// `journey mappings describe [SOURCE]`
struct MappingsDescribe: Command {
  static let configuration = CommandConfiguration(
    commandName: "describe",
    abstract: "Print the keys of mapping files, or what the mapping of a source does. Needs no server.",
    examples: [
      "journey mappings describe",
      "journey mappings describe stripe",
      "journey mappings describe --schema > mapping.schema.json",
    ])

  enum Format: String, EnumerableFlag {
    case markdown, json, schema

    static func help(for value: Format) -> ArgumentHelp? {
      switch value {
      case .markdown: "Print Markdown. This is the default."
      case .json: "Print the keys as JSON."
      case .schema: "Print the JSON Schema of mapping files."
      }
    }
  }

  @Argument(help: "The source whose mapping to describe, in Markdown.", completion: .sources) var source: String?

  @Flag(exclusivity: .exclusive) var format = Format.markdown

  @OptionGroup var common: LocalOptions

  func validate() throws {
    if source != nil, format != .markdown { throw ValidationError("a source is described in Markdown alone") }
  }

  func execute() async throws {
    switch format {
    case .markdown: Output.write(try await markdown(), to: 1)
    case .schema: Output.json(try MappingSchema.json())
    case .json: Output.json(try String(describingAsJSON: MappingLanguageReference()))
    }
  }

  private func markdown() async throws -> String {
    guard let source else { return MappingLanguageReference().markdown }
    let directories = try await common.settings().mappingDirectories
    guard let file = MappingLoader.file(ofSource: source, in: directories) else {
      throw Failure(
        .refusedInput, MappingLoader.survey(directories: directories).message(aboutSource: source),
        advice: "in \(directories.joined(separator: ", "))")
    }
    return try await failing(.settings) { try MappingPage.markdown(file: file) }
  }
}

extension String {
  /// Indented JSON with sorted keys.
  init(describingAsJSON value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    self.init(decoding: try encoder.encode(value), as: UTF8.self)
  }
}
