import FoundationEssentials
import Journey

/// Which client an event's reference means, within the event's organisation and source.
struct ClientKey: Hashable {
  var orgID: UUID
  var source: String
  var reference: ClientReference

  init(_ event: JourneyEvent) {
    orgID = event.orgID
    source = event.source
    reference = event.client
  }

  // Texts by bytes, as the database compares them: what Unicode calls equivalent may still be two clients.
  static func == (a: ClientKey, b: ClientKey) -> Bool {
    a.orgID == b.orgID && a.source.hasSameBytes(as: b.source) && a.reference.id == b.reference.id
      && (a.reference.externalID ?? "").hasSameBytes(as: b.reference.externalID ?? "")
      && (a.reference.creation == nil) == (b.reference.creation == nil)
      && (a.reference.email ?? "").hasSameBytes(as: b.reference.email ?? "")
      && a.reference.whenUnknown == b.reference.whenUnknown
  }

  func hash(into hasher: inout Hasher) {
    hasher.combine(orgID)
    hasher.combine(reference.id)
    hasher.combine(reference.externalID)
  }
}

extension ClientKey {
  /// One order for all instances, so that they never wait for each other in a circle.
  var order: [String] { [orgID.text, source, reference.externalID ?? "", reference.id?.text ?? ""] }
}

extension ClientReference {
  var text: String { externalID ?? id?.text ?? "" }
}
