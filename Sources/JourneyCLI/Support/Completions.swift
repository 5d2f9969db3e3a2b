import ArgumentParser
import DeadLetters
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyPostgres
import PostgresClient

/// What a shell offers for a value. Whatever fails offers nothing, because a shell shows no errors.
extension CompletionKind {
  static let sources = candidates { MappingLoader.survey(directories: $0.mappingDirectories).catalog.sources }

  /// The codes of dead letters: those of the adapter, then those of the broker.
  static let codes = CompletionKind.list(
    Rejection.Code.all.map(\.rawValue) + ["delivery_limit", "expired", "maxlen", "rejected"])

  /// The ids of the newest open dead letters.
  static let deadLetters = candidates { settings in
    var filter = DeadLetterFilter()
    filter.states = [.new]
    return try await settings.withDatabase { [filter] worker in
      try await DeadLetterRepository(worker: worker, actor: "").list(filter, limit: 50, withBodies: false)
    }.map(\.id.text)
  }

  private static func candidates(
    _ find: @escaping @Sendable (JourneyConfiguration.Settings) async throws -> [String]
  ) -> CompletionKind {
    .custom { words, _, prefix in
      let option = words.lastIndex(of: "--config").flatMap { words.dropFirst($0 + 1).first }
      return await withTaskGroup { group in
        group.addTask {
          guard
            let settings = try? await SettingsLoader.load(
              path: option, flags: [:], environment: ProcessInfo.processInfo.environment),
            let found = try? await find(settings)
          else { return [] as [String] }
          return found.filter { $0.hasPrefix(prefix) }
        }
        // Nobody waits longer for a suggestion.
        group.addTask {
          try? await Task.sleep(for: .seconds(2))
          return []
        }
        defer { group.cancelAll() }
        return await group.next() ?? []
      }
    }
  }
}
