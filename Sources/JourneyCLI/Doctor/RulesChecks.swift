import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyConfiguration

/// The mapping files, the rules of the decision, and who may publish.
extension DiagnosticReport {
  mutating func rules(_ settings: JourneyConfiguration.Settings) async {
    let directories = settings.mappingDirectories
    let missing = directories.filter { path in
      var isDirectory = false
      return !FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) || !isDirectory
    }
    if missing.isEmpty {
      await check("mappings", .mappingsInvalid, advice: "run: journey mappings check") {
        let sources = try await settings.mappings().sources
        guard sources.contains(InboundDecoder.cloudEvents) else {
          throw Failure(
            .settings, "there is no mapping for cloudevents in \(directories.joined(separator: ", "))",
            advice:
              "add the directory of the program's own mapping files to mappings.directories (MAPPINGS_DIRECTORIES)")
        }
        let more = sources.count - 5
        return sources.count.of("source") + ": " + sources.prefix(5).joined(separator: ", ")
          + (more > 0 ? " and \(more) more" : "")
      }
    } else {
      add(
        "mappings", .failure, .mappingsMissing,
        "there is no directory \(missing.map(Self.absolute).joined(separator: ", "))",
        "set mappings.directories (MAPPINGS_DIRECTORIES) to the directory of the mapping files; a relative path starts \(Self.origin)"
      )
    }
    await check("decisions", .decisionsInvalid, advice: "correct the lines that are named") {
      "version \(try await settings.decisions().version)"
    }
    add("publishers", .ok, .ok, settings.publishersInWords)
  }

  /// Where a relative path of the settings starts.
  static let origin = "at the settings file's directory, without one at the working directory"

  /// A path for a person, who may not know from where it is relative.
  static func absolute(_ path: String) -> String {
    path.hasPrefix("/") ? path : "\(FileManager.default.currentDirectoryPath)/\(path)"
  }
}
