import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP
import JourneyPostgres

/// The rules as the settings name them.
extension Settings {
  func mappings() async throws -> MappingCatalog {
    try await failing(.settings) { try loadMappings() }
  }

  /// - Throws: `MappingLoadError`.
  func loadMappings() throws(MappingLoadError) -> MappingCatalog {
    let catalog = try MappingLoader.load(directories: mappingDirectories)
    guard let tenantsFile else { return catalog }
    return catalog.with(tenants: try TenantLoader.load(file: tenantsFile))
  }

  func tenants() async throws -> [String: [String: UUID]] {
    guard let tenantsFile else { return [:] }
    return try await failing(.settings) { try TenantLoader.load(file: tenantsFile) }
  }

  func decisions() async throws -> DecisionRules {
    guard let decisionFile else { return DecisionRules() }
    return try await failing(.settings) { try DecisionLoader.load(file: decisionFile) }
  }

  func decoder(_ rules: DecisionRules, clock: SystemClock = SystemClock()) async throws -> InboundDecoder {
    decoder(rules, live: LiveMappings(try await mappings().mappings), clock: clock)
  }

  func decoder(
    _ rules: DecisionRules, live: LiveMappings, unlisted: UnlistedEvents? = nil, clock: SystemClock = SystemClock()
  )
    -> InboundDecoder
  {
    InboundDecoder(
      live: live, signals: rules.signals, maxBodyBytes: maxBodyBytes, takesTestTraffic: takesTestTraffic,
      unlisted: unlisted,
      publishers: PublisherPolicy(ownUser: brokerUser, otherOwnUsers: otherBrokerUsers, grants: publishers),
      outcomes: messagingNames.outcomes, clock: clock)
  }

  /// How raw bodies are kept. No list of headers makes it keep credentials.
  func rawBodyStorage(by mappings: LiveMappings) -> RawBodies {
    let headers = DeadLetterOptions.redactedHeaders + deadLetters.redactHeaders
    return RawBodies(
      writer: rawBodies.isOn ? RawMessageForm(mappings: mappings, redaction: HeaderRedaction(headers)) : nil,
      retentionDays: rawBodies.retentionDays)
  }

  /// Who may report what, as `doctor` says it.
  var publishersInWords: String {
    guard let publishers else {
      return
        "not checked: whoever may publish to \(messagingNames.events) reports events of any source for any organisation"
    }
    let users = publishers.keys.filter { $0 != PublisherPolicy.others }.count
    let rest =
      publishers[PublisherPolicy.others] == nil ? "nobody else may report events" : "all others share the entry *"
    return "checked: \(users.of("user")) of the broker by name, \(rest)"
  }
}
