import FoundationEssentials
import Glibc
import Journey
import JourneyConfiguration
import JourneyAMQP
import Logging
import ServiceLifecycle

/// Takes changed mapping files and secrets into use without a restart: on SIGHUP, and when a file changes. A file with a
/// mistake changes nothing.
struct FileReload: Service {
  let settings: JourneyConfiguration.Settings
  let mappings: LiveMappings
  let signals: ProcessSignals
  let logger: Logger

  func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        for await _ in signals.reloadRequests.cancelOnGracefulShutdown() {
          reloadMappings(because: "SIGHUP")
          for secret in settings.secretFiles { reload(secret.file, secret.check) }
        }
      }
      group.addTask {
        await cancelWhenGracefulShutdown {
          let secrets = settings.secretFiles
          var seen = settings.mappingFiles, seenSecrets = secrets.map { FileStamp.of($0.file.path) }
          while (try? await Task.sleep(for: .seconds(2))) != nil {
            let found = settings.mappingFiles
            if found != seen { reloadMappings(because: "a file changed") }
            seen = found
            for (index, secret) in secrets.enumerated() {
              let stamp = FileStamp.of(secret.file.path)
              if stamp != seenSecrets[index] { reload(secret.file, secret.check) }
              seenSecrets[index] = stamp
            }
          }
        }
      }
      try await group.waitForAll()
    }
  }

  private func reload(_ secret: SecretFile, _ check: SecretCheck) {
    do {
      try secret.reload(check)
      logger.notice("secret read again: \(secret.path)")
    } catch {
      logger.error("secret not read again, the old one stays in use: \(secret.path): \(error)")
    }
  }

  private func reloadMappings(because reason: String) {
    do throws(MappingLoadError) {
      let catalog = try settings.loadMappings()
      mappings.replace(with: catalog.mappings)
      logger.notice(
        "mappings reloaded", metadata: .fields([.reason: "\(reason)", .count: "\(catalog.mappings.count)"]))
    } catch {
      for problem in error.problems { logger.error("mappings not reloaded, the old ones stay in use: \(problem)") }
    }
  }
}

extension JourneyConfiguration.Settings {
  /// The mapping files with what changes when they are written. They are looked at now and then, since no notice of a
  /// change reaches across network file systems and the swapped links of mounted configuration.
  ///
  /// An installed program's own files change with an upgrade, and are for the new program then.
  var mappingFiles: [String: String] {
    let directories = mappingDirectories.filter { !$0.hasPrefix("\(InstalledFiles.data ?? "\0")/") }
    var files = directories.flatMap { directory in
      (try? FileManager.default.contentsOfDirectory(atPath: directory))?.map { "\(directory)/\($0)" } ?? []
    }
    if let tenantsFile { files.append(tenantsFile) }
    return Dictionary(files.map { ($0, FileStamp.of($0)) }) { $1 }
  }
}

enum FileStamp {
  /// Changes whenever the file, or the one that it links to, is written or replaced.
  static func of(_ path: String) -> String {
    var status = stat()
    guard stat(path, &status) == 0 else { return "" }
    return "\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec) \(status.st_size) \(status.st_ino)"
  }
}
