import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP
import Logging
import ServiceLifecycle

/// Takes changed mapping files into use without a restart: on SIGHUP, and when a file changes. A file with a mistake
/// changes nothing.
struct MappingReload: Service {
  let settings: JourneyConfiguration.Settings
  let mappings: LiveMappings
  let signals: ProcessSignals
  let logger: Logger

  func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        for await _ in signals.reloadRequests.cancelOnGracefulShutdown() { reload(because: "SIGHUP") }
      }
      group.addTask {
        await cancelWhenGracefulShutdown {
          var seen = settings.mappingFiles
          while (try? await Task.sleep(for: .seconds(2))) != nil {
            let found = settings.mappingFiles
            if found == seen { continue }
            seen = found
            reload(because: "a file changed")
          }
        }
      }
      try await group.waitForAll()
    }
  }

  private func reload(because reason: String) {
    do throws(MappingLoadError) {
      let catalog = try settings.loadMappings()
      mappings.replace(with: catalog.mappings)
      logger.notice("mappings reloaded", metadata: ["because": "\(reason)", "sources": "\(catalog.mappings.count)"])
    } catch {
      for problem in error.problems { logger.error("mappings not reloaded, the old ones stay in use: \(problem)") }
    }
  }
}

extension JourneyConfiguration.Settings {
  /// The mapping files with what changes when they are written. They are looked at now and then, since no notice of a
  /// change reaches across network file systems and the swapped links of mounted configuration.
  var mappingFiles: [String: String] {
    var files = mappingDirectories.flatMap { directory in
      (try? FileManager.default.contentsOfDirectory(atPath: directory))?.map { "\(directory)/\($0)" } ?? []
    }
    if let tenantsFile { files.append(tenantsFile) }
    return Dictionary(files.map { ($0, FileStamp.of($0)) }) { $1 }
  }
}

enum FileStamp {
  /// Changes whenever the file is written or replaced.
  static func of(_ path: String) -> String {
    guard
      let attributes = try? FileManager.default.attributesOfItem(
        atPath: (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) ?? path)
    else { return "" }
    let time = (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
    return "\(time) \(attributes[.size] ?? 0)"
  }
}
