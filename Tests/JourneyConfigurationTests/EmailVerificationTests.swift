import Journey
import JourneyConfiguration
import Testing

/// Which of the mappings that are shipped find clients by an address.
@Suite struct EmailVerificationTests {
  /// Each with its reason at the head of its file; everybody else takes what anybody may have typed.
  private static let verifying: Set = [
    "braintree", "chargebee", "close", "hellosign", "pipedrive", "salesforce", "stripe",
  ]

  private func events(_ mapping: Mapping) -> [EventTemplate] {
    mapping.rules.compactMap { rule in if case .event(let template) = rule.outcome { template } else { nil } }
  }

  @Test(arguments: [ShippedMappings.Profile.defaultProfile, .literal])
  func onlySourcesThatVerifyAddressesFindClientsByThem(
    _ profile: ShippedMappings.Profile
  ) throws {
    let found = try ShippedMappings.load(profile).mappings.filter {
      events($0.value).contains { $0.client.isEmailVerified }
    }
    #expect(Set(found.keys) == Self.verifying)
  }

  /// A web form makes leads, a visitor types at a checkout.
  @Test(arguments: [("salesforce", "lead_created"), ("salesforce", "lead_qualified"), ("stripe", "checkout_completed")])
  func whereAVisitorTypesASourceThatVerifiesDoesNot(_ source: String, _ type: String) throws {
    let templates = events(try #require(try ShippedMappings.load().mappings[source])).filter {
      $0.type.description.contains(type)
    }
    #expect(!templates.isEmpty && templates.allSatisfy { !$0.client.isEmailVerified })
  }
}
