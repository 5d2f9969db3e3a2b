import FoundationEssentials
import Journey
import JourneyConfiguration

/// Refuses bodies of a vendor that would all become dead letters, before any is published.
extension JourneyConfiguration.Settings {
  /// - Parameter bodies: JSON.
  func requireEvents(of source: String, org: String?, in bodies: some Sequence<[UInt8]>) async throws {
    let survey = MappingLoader.survey(directories: mappingDirectories)
    // Elsewhere than at the adapter there may be no mappings.
    guard !survey.catalog.sources.isEmpty else { return }
    let force = "--force publishes it all the same"
    guard let mapping = survey.catalog.with(tenants: try await tenants())[source] else {
      throw Failure(.refusedInput, "--source: \(survey.message(aboutSource: source))", advice: force)
    }
    guard org == nil else { return }
    for body in bodies {
      guard let document = try? JSONDocument(parsing: body) else { continue }
      func rejections(orgID: UUID?) -> [Rejection] {
        let input = MappingInput(document: document, orgID: orgID, limits: EventLimits(now: SystemClock().now()))
        return mapping.map(input).outcomes.compactMap { if case .rejected(let reason, _) = $0 { reason } else { nil } }
      }
      // What any organisation would fix.
      let anyone = UUID.zero
      if let reason = rejections(orgID: nil).first, rejections(orgID: anyone).isEmpty {
        throw Failure(.refusedInput, "\(reason)", advice: "name the organisation with --org; \(force)")
      }
    }
  }
}
