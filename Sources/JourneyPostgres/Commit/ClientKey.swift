import FoundationEssentials
import Journey

/// An event's reference to a client, with the organisation and source that give it its meaning.
struct ClientKey: Hashable {
  var orgID: UUID
  var source: String
  var reference: ClientReference

  init(_ event: JourneyEvent) {
    orgID = event.orgID
    source = event.source
    reference = event.client
  }

  // Compared by bytes, as in the database: texts that Unicode calls equivalent may identify different clients.
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
  /// The same order in all instances, which prevents deadlocks.
  var order: [String] { [orgID.text, source, reference.externalID ?? "", reference.id?.text ?? ""] }
}

extension ClientReference {
  var text: String { externalID ?? id?.text ?? "" }
}
