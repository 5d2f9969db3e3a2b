public import FoundationEssentials
import Journey
public import PostgresClient

/// A contact as `journey contact list` shows it.
public struct ListedContact: Hashable, Sendable, Encodable {
  public var id: UUID
  public var name: String?
  public var email: String?
  public var phone: String?
  public var timeZone: String?
  /// `hubspot 4711`, in order.
  public var sourceIDs: [String]

  private enum CodingKeys: String, CodingKey { case id, name, email, phone, timeZone, sourceIDs = "sourceIds" }
}

/// The contacts of an organisation, in the host's table. The adapter's role may add and change them, as their owner may.
public struct ContactRepository: Sendable {
  private static let chunk = 500
  private let worker: PostgresWorker
  private let orgID: UUID
  private let actor: String

  /// - Parameter actor: who links ids, for the identity log.
  public init(worker: PostgresWorker, orgID: UUID, actor: String) {
    self.worker = worker
    self.orgID = orgID
    self.actor = actor
  }

  /// - Parameter text: only contacts with this id, source's id, or this text in name, e-mail or phone.
  public func list(matching text: String?, limit: Int) async throws -> [ListedContact] {
    try await worker.perform { [orgID] connection in
      let found = try connection.execute(
        ContactStatements.list,
        PostgresParameters {
          $0.uuid(orgID)
          $0.text(text)
          $0.int8(Int64(limit))
        })
      return try (0..<found.rowCount).map { row in
        ListedContact(
          id: try found.uuid(row, 0), name: try found.textIfPresent(row, 1), email: try found.textIfPresent(row, 2),
          phone: try found.textIfPresent(row, 3), timeZone: try found.textIfPresent(row, 4),
          sourceIDs: try found.texts(row, 5).compactMap(\.self))
      }
    }
  }

  /// Adds and completes contacts and links their sources' ids. Rows that cannot be stored are reported and do not stop
  /// the others. Each chunk is a transaction, so after an interruption the same import continues.
  /// - Parameters:
  ///   - replacesValues: whether other values replace those stored; otherwise they only fill empty ones.
  ///   - isRehearsal: changes nothing.
  ///   - why: for the identity log.
  ///   - progress: called with the number of rows done.
  public func store(
    _ rows: [ContactRow], replacesValues: Bool, isRehearsal: Bool, why: String,
    progress: @escaping @Sendable (Int) -> Void = { _ in }
  ) async throws -> ContactReport {
    try await worker.perform { [orgID, actor] connection in
      var writer = ContactWriter(
        connection: connection, orgID: orgID, actor: actor, why: why, replacesValues: replacesValues,
        isRehearsal: isRehearsal)
      // A rehearsal sees what its earlier rows would have added.
      if isRehearsal { try connection.begin() }
      var report = ContactReport(), done = 0
      for start in stride(from: 0, to: rows.count, by: Self.chunk) {
        let chunk = rows[start..<min(start + Self.chunk, rows.count)]
        report += try writer.store(chunk)
        done += chunk.count
        progress(done)
      }
      if isRehearsal { try connection.rollback() }
      return report
    }
  }
}

/// Writes rows on a connection.
private struct ContactWriter {
  let connection: PostgresConnection
  let orgID: UUID
  let actor: String
  let why: String
  let replacesValues: Bool
  let isRehearsal: Bool
  var random = IDRandom()

  /// Rows that the database refuses are looked for by halves.
  mutating func store(_ rows: ArraySlice<ContactRow>) throws -> ContactReport {
    do {
      return try attempt(Array(rows))
    } catch let error as PostgresError where error.kind == .poison {
      guard rows.count > 1 else {
        var report = ContactReport()
        report.faults = [
          ContactFault(
            rows.first?.line ?? 0, error.column ?? "contact", nil, "the database refuses it: \(error.message)")
        ]
        return report
      }
      let middle = rows.startIndex + rows.count / 2
      var report = try store(rows[..<middle])
      report += try store(rows[middle...])
      return report
    }
  }

  private mutating func attempt(_ rows: [ContactRow]) throws -> ContactReport {
    if !isRehearsal { return try connection.transaction { try write(rows) } }
    try connection.execute("SAVEPOINT contacts")
    do {
      let report = try write(rows)
      try connection.execute("RELEASE contacts")
      return report
    } catch {
      if connection.isUsable { try connection.execute("ROLLBACK TO contacts") }
      throw error
    }
  }

  private mutating func write(_ rows: [ContactRow]) throws -> ContactReport {
    _ = try connection.execute(ContactStatements.lock, PostgresParameters { $0.uuid(orgID) })
    var random = random
    let now = SystemClock().now()
    let plan = ContactPlan(rows, try stored(rows), replacesValues: replacesValues) { UUID.v7(at: now, using: &random) }
    self.random = random
    try insert(plan.inserts)
    try update(Array(plan.updates.values))
    try link(plan.links)
    return plan.report
  }

  private func stored(_ rows: [ContactRow]) throws -> ContactPlan.Stored {
    var stored = ContactPlan.Stored()
    let ids = rows.compactMap(\.id), emails = Set(rows.compactMap(\.email)), sourceIDs = rows.flatMap(\.sourceIDs)
    let byID = try connection.execute(ContactStatements.byID, parameters { $0.uuids(ids) })
    for row in 0..<byID.rowCount {
      let id = try byID.uuid(row, 0)
      if let client = try byID.uuidIfPresent(row, 1) { stored.byID[id] = client } else { stored.foreign.insert(id) }
    }
    let byEmail = try connection.execute(ContactStatements.byEmail, parameters { $0.texts(Array(emails)) })
    for row in 0..<byEmail.rowCount {
      stored.byEmail[try byEmail.text(row, 0).lowercased(), default: []].insert(try byEmail.uuid(row, 1))
    }
    let bySourceID = try connection.execute(
      ContactStatements.bySourceID,
      parameters {
        $0.texts(sourceIDs) { $0.source }
        $0.texts(sourceIDs) { $0.id }
      })
    for row in 0..<bySourceID.rowCount {
      stored.bySourceID[SourceID(source: try bySourceID.text(row, 0), id: try bySourceID.text(row, 1))] =
        try bySourceID.uuid(row, 2)
    }
    let clients = Set(stored.byID.values).union(stored.bySourceID.values).union(stored.byEmail.values.joined())
    let contacts = try connection.execute(ContactStatements.read, parameters { $0.uuids(Array(clients)) })
    for row in 0..<contacts.rowCount {
      let id = try contacts.uuid(row, 0)
      stored.contacts[id] = ContactPlan.Contact(
        id: id, name: try contacts.textIfPresent(row, 1), email: try contacts.textIfPresent(row, 2),
        phone: try contacts.textIfPresent(row, 3), timeZone: try contacts.textIfPresent(row, 4))
    }
    return stored
  }

  private func insert(_ contacts: [ContactPlan.Contact]) throws {
    guard !contacts.isEmpty else { return }
    _ = try connection.execute(ContactStatements.insert, values(contacts))
  }

  private func update(_ contacts: [ContactPlan.Contact]) throws {
    guard !contacts.isEmpty else { return }
    let hasTime = try connection.execute(ContactStatements.hasUpdateTime, PostgresParameters()).bool(0, 0)
    _ = try connection.execute(ContactStatements.update(hasTime), values(contacts))
  }

  private func values(_ contacts: [ContactPlan.Contact]) -> PostgresParameters {
    parameters {
      $0.uuids(contacts) { $0.id }
      $0.texts(contacts) { $0.name }
      $0.texts(contacts) { $0.email }
      $0.texts(contacts) { $0.phone }
      $0.texts(contacts) { $0.timeZone }
    }
  }

  private func link(_ links: [(SourceID, client: UUID)]) throws {
    guard !links.isEmpty else { return }
    let added = try connection.execute(
      ContactStatements.link,
      parameters {
        $0.texts(links) { $0.0.source }
        $0.texts(links) { $0.0.id }
        $0.uuids(links) { $0.client }
        $0.text(actor)
        $0.text(why)
      })
    guard added.rowCount == links.count else {
      throw PostgresError(
        .transient, operation: "link_source_ids",
        "an event has linked one of the ids at the same time; run the import again, which continues where it was")
    }
  }

  private func parameters(_ build: (inout PostgresParameters) -> Void) -> PostgresParameters {
    PostgresParameters {
      $0.uuid(orgID)
      build(&$0)
    }
  }
}
