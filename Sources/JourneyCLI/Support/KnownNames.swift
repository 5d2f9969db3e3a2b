import DeadLetters
import Journey
import JourneyConfiguration
import JourneyPostgres

/// Filters that name what nobody knows are refused: a misspelt one would find nothing, which would look like an answer.
extension JourneyConfiguration.Settings {
  /// - Parameter isStored: whether something of the source is stored. Then it is known, whatever the mappings are now.
  func requireSource(_ source: String?, isStored: (String) async throws -> Bool) async throws {
    guard let source, try await !isStored(source) else { return }
    if let unknown = unknown(source: source) {
      throw Failure(.refusedInput, "--source \(source): nothing of it is stored, and no mapping has it\(unknown)")
    }
  }

  /// How a message about a source goes on that no mapping has; nil: one has it, or the mappings cannot be read.
  func unknown(source: String) -> String? {
    let sources = MappingLoader.survey(directories: mappingDirectories).catalog.sources
    return sources.isEmpty || sources.contains(source) ? nil : suggestion(for: source, among: sources)
  }

  func requireSource(_ selection: EventSelection, _ reader: EventReader) async throws {
    try await requireSource(selection.source) {
      var any = EventSelection()
      any.source = $0
      return try await !reader.list(any, after: nil, limit: 1).isEmpty
    }
  }
}

extension DeadLetterFilter {
  /// The reasons of RabbitMQ beside ours.
  private static let codes =
    Rejection.Code.all.map(\.rawValue) + ["delivery_limit", "expired", "maxlen", "rejected", "unknown"]

  /// - Throws: `Failure` if no dead letter, in whatever state, has the code or the source, and nothing else knows it.
  func requireKnown(by repository: DeadLetterRepository, _ settings: JourneyConfiguration.Settings) async throws {
    func isStored(_ change: (inout DeadLetterFilter) -> Void) async throws -> Bool {
      var any = DeadLetterFilter()
      change(&any)
      return try await !repository.list(any, limit: 1, withBodies: false).isEmpty
    }
    if let code, !Self.codes.contains(code), try await !isStored({ $0.code = code }) {
      throw Failure(
        .refusedInput, "--code \(code): no dead letter has this code\(suggestion(for: code, among: Self.codes))",
        advice: "journey dlq stats counts those that there are")
    }
    try await settings.requireSource(source) { source in try await isStored { $0.source = source } }
  }
}
