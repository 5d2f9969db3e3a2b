public import FoundationEssentials
public import PostgresClient

public struct Organization: Hashable, Sendable, Encodable {
  public var id: UUID
  public var name: String
  public var timeZone: String?
  public var contacts: Int
}

public enum OrganizationOutcome: Hashable, Sendable {
  case added(UUID)
  case known(UUID)
  /// The id belongs to an organisation with another name.
  case takenID(name: String)
  /// The name belongs to other organisations.
  case takenName(by: [UUID])
}

/// The host's organisations. To write them, the login must be their tables' owner: the adapter's role may only read.
public struct OrganizationRepository: Sendable {
  private let worker: PostgresWorker

  public init(worker: PostgresWorker) { self.worker = worker }

  /// Adds an organisation, unless there is one with this name.
  /// - Parameters:
  ///   - id: nil: a random one.
  ///   - timeZone: an IANA name, which an organisation that is known gets too; nil: none, or as it is.
  public func add(name: String, id: UUID?, timeZone: String? = nil) async throws -> OrganizationOutcome {
    let outcome = try await add(name: name, id: id)
    guard let timeZone else { return outcome }
    switch outcome {
    case .added(let id), .known(let id):
      try await worker.perform { connection in
        _ = try connection.execute(
          Statements.setTimeZone,
          PostgresParameters {
            $0.uuid(id)
            $0.text(timeZone)
          })
      }
    case .takenID, .takenName: break
    }
    return outcome
  }

  private func add(name: String, id: UUID?) async throws -> OrganizationOutcome {
    try await worker.perform { connection in
      try connection.transaction {
        // Of two runs at the same time, the second finds what the first has added.
        try connection.execute("SELECT pg_advisory_xact_lock(hashtext('journey org add'))")
        if let id {
          let held = try connection.execute(Statements.byID, PostgresParameters { $0.uuid(id) })
          if held.rowCount == 1 {
            let other = try held.text(0, 1)
            return other == name ? .known(id) : .takenID(name: other)
          }
        }
        let same = try connection.execute(Statements.byName, PostgresParameters { $0.text(name) })
        if same.rowCount > 0 {
          let ids = try (0..<same.rowCount).map { try same.uuid($0, 0) }
          return id == nil && ids.count == 1 ? .known(ids[0]) : .takenName(by: ids)
        }
        let new = id ?? UUID()
        _ = try connection.execute(
          Statements.add,
          PostgresParameters {
            $0.uuid(new)
            $0.text(name)
          })
        return .added(new)
      }
    }
  }

  /// The organisations with an id or a name; all without one. Ordered by name.
  public func list(_ idOrName: String? = nil) async throws -> [Organization] {
    try await worker.perform { connection in
      let found = try connection.execute(
        Statements.list,
        PostgresParameters {
          $0.uuid(idOrName.flatMap { UUID(uuidString: $0) })
          $0.text(idOrName)
        })
      return try (0..<found.rowCount).map { row in
        Organization(
          id: try found.uuid(row, 0), name: try found.text(row, 1), timeZone: try found.textIfPresent(row, 3),
          contacts: Int(try found.int64(row, 2)))
      }
    }
  }

  /// The names of the organisations' time zones, as they are stored; nil where there is none.
  public func timeZones() async throws -> [(id: UUID, name: String?)] {
    try await worker.perform { connection in
      let found = try connection.execute(Statements.timeZones, PostgresParameters())
      return try (0..<found.rowCount).map { (try found.uuid($0, 0), try found.textIfPresent($0, 1)) }
    }
  }

  private enum Statements {
    static let byID = PostgresStatement(
      name: "organization_by_id", "SELECT id, COALESCE(name::text, '') FROM organizations WHERE id = $1")
    static let byName = PostgresStatement(
      name: "organizations_by_name", "SELECT id FROM organizations WHERE name::text = $1 ORDER BY id")
    static let add = PostgresStatement(
      name: "add_organization", "INSERT INTO organizations (id, name) VALUES ($1, $2::text)")
    static let setTimeZone = PostgresStatement(
      name: "set_organization_zone", "UPDATE organizations SET time_zone = $2::text WHERE id = $1")
    static let timeZones = PostgresStatement(
      name: "list_organization_zones", "SELECT id, time_zone::text FROM organizations ORDER BY id LIMIT 10000")
    static let list = PostgresStatement(
      name: "list_organizations",
      """
      SELECT o.id, COALESCE(o.name::text, ''), (SELECT count(*) FROM contacts c WHERE c.org_id = o.id), o.time_zone::text
      FROM organizations o
      WHERE $2::text IS NULL OR o.id = $1::uuid OR o.name::text = $2 ORDER BY o.name::text, o.id
      """)
  }
}
