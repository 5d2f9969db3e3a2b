import FoundationEssentials
import Journey

/// What an import writes for some rows, given what is stored. A row means the client of its id, of its sources' ids, or
/// of its e-mail address; all that it has must mean the same one. Rows also find those before them.
struct ContactPlan {
  struct Contact: Hashable {
    var id: UUID
    var name: String?
    var email: String?
    var phone: String?
    var timeZone: String?
  }

  /// What is stored: the clients that the rows could mean, after merges.
  struct Stored {
    var byID: [UUID: UUID] = [:]
    /// Ids of contacts of other organisations.
    var foreign: Set<UUID> = []
    var bySourceID: [SourceID: UUID] = [:]
    /// Addresses in lower case.
    var byEmail: [String: Set<UUID>] = [:]
    var contacts: [UUID: Contact] = [:]
  }

  private(set) var inserts: [Contact] = []
  /// Contacts with their new values.
  private(set) var updates: [UUID: Contact] = [:]
  private(set) var links: [(SourceID, client: UUID)] = []
  private(set) var report = ContactReport()
  private var stored: Stored
  /// Clients of this plan that are not stored yet.
  private var new: [UUID: Int] = [:]
  private let replacesValues: Bool
  private let makeID: () -> UUID

  /// - Parameter replacesValues: whether other values replace those stored; otherwise they only fill empty ones.
  init(_ rows: [ContactRow], _ stored: Stored, replacesValues: Bool, makeID: @escaping () -> UUID) {
    self.stored = stored
    self.replacesValues = replacesValues
    self.makeID = makeID
    for row in rows {
      if let fault = row.fault ?? add(row) { report.faults.append(fault) }
    }
  }

  private mutating func add(_ row: ContactRow) -> ContactFault? {
    var meant: (client: UUID, by: String)?
    func conflict(_ field: String, _ value: String, _ client: UUID) -> ContactFault? {
      guard let meant, meant.client != client else { return nil }
      return ContactFault(
        row.line, field, value,
        "is the client \(client.text), but \(meant.by) is the client \(meant.client.text); if both are the same person: "
          + "journey identity merge")
    }
    if let id = row.id {
      guard !stored.foreign.contains(id) else {
        return ContactFault(row.line, "id", id.text, "belongs to a contact of another organisation")
      }
      if let client = stored.byID[id] { meant = (client, "id \(id.text)") }
    }
    for sourceID in row.sourceIDs {
      guard let client = stored.bySourceID[sourceID] else { continue }
      if let fault = conflict("\(sourceID.source):id", sourceID.id, client) { return fault }
      meant = meant ?? (client, "\(sourceID.source):id \(sourceID.id)")
    }
    if let email = row.email {
      let clients = stored.byEmail[email.lowercased()] ?? []
      if let meant, clients.contains(meant.client) {
        // One of several that share the address.
      } else if clients.count > 1 {
        return ContactFault(
          row.line, "email", email, "\(clients.count) clients of the organisation share it; give the id of one")
      } else if let client = clients.first {
        if let fault = conflict("email", email, client) { return fault }
        meant = (client, "email \(email)")
      }
    }
    if let meant, let id = row.id, stored.byID[id] == nil {
      return ContactFault(
        row.line, "id", id.text, "is no client of the organisation, but \(meant.by) is the client \(meant.client.text)")
    }
    store(row, as: meant?.client)
    return nil
  }

  private mutating func store(_ row: ContactRow, as known: UUID?) {
    let client = known ?? row.id ?? makeID()
    let before = stored.contacts[client] ?? Contact(id: client)
    let (after, isDifferent) = merged(before, row)
    if known == nil {
      new[client] = inserts.count
      inserts.append(after)
      report.added += 1
    } else if after != before {
      if let position = new[client] { inserts[position] = after } else { updates[client] = after }
      report.updated += 1
    } else {
      report.unchanged += 1
    }
    if isDifferent { report.different += 1 }
    for sourceID in row.sourceIDs where stored.bySourceID[sourceID] == nil {
      links.append((sourceID, client))
      stored.bySourceID[sourceID] = client
      report.linked += 1
    }
    report.lastClient = client
    stored.contacts[client] = after
    stored.byID[client] = client
    if let email = after.email { stored.byEmail[email.lowercased(), default: []].insert(client) }
  }

  private func merged(_ contact: Contact, _ row: ContactRow) -> (Contact, isDifferent: Bool) {
    var isDifferent = false
    func value(_ old: String?, _ new: String?, ignoringCase: Bool = false) -> String? {
      guard let new, new != old, !(ignoringCase && new.lowercased() == old?.lowercased()) else { return old }
      if old == nil || old == "" || replacesValues { return new }
      isDifferent = true
      return old
    }
    let result = Contact(
      id: contact.id, name: value(contact.name, row.name),
      email: value(contact.email, row.email, ignoringCase: true), phone: value(contact.phone, row.phone),
      timeZone: value(contact.timeZone, row.timeZone))
    return (result, isDifferent)
  }
}
