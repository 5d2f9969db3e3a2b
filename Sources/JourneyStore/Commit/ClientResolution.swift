import FoundationEssentials
import Journey
import PostgresClient

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
      && (a.reference.email ?? "").hasSameBytes(as: b.reference.email ?? "") && a.reference.whenUnknown == b.reference.whenUnknown
  }

  func hash(into hasher: inout Hasher) {
    hasher.combine(orgID)
    hasher.combine(reference.id)
    hasher.combine(reference.externalID)
  }
}

/// Resolves references to clients, and creates those that a mapping allows to be created. What a reference stands for is kept by its place among the
/// batch's distinct ones.
struct ClientResolution {
  /// The distinct references of a batch.
  let keys: [ClientKey]
  private let known: [ClientKey: Int]
  /// A reference that is still to be looked for, or to be created, counts as unknown.
  private(set) var outcomes: [Result<UUID, Rejection>]
  /// The clients that are locked, by id.
  private(set) var locked: [UUID: LockedClient] = [:]
  /// The clients that another transaction has locked.
  private(set) var held: Set<UUID> = []
  /// Clients that have no state yet, with their organisations.
  private(set) var unmet: [UUID: UUID] = [:]
  /// Whether a client turned out to have become another one.
  private(set) var hasMerged = false

  /// - Returns: the references of a batch, and each event's place among them.
  static func references(of events: [StagedEvent]) -> (ClientResolution, places: [Int]) {
    var known: [ClientKey: Int] = [:]
    known.reserveCapacity(events.count)
    var keys: [ClientKey] = []
    let places = events.map { staged in
      let key = ClientKey(staged.event)
      if let place = known[key] { return place }
      known[key] = keys.count
      keys.append(key)
      return keys.count - 1
    }
    return (ClientResolution(keys: keys, known: known), places)
  }

  private init(keys: [ClientKey], known: [ClientKey: Int]) {
    self.keys = keys
    self.known = known
    outcomes = keys.map { _ in .failure(Rejection(.unknownClient, field: "client", "not looked for yet")) }
    locked.reserveCapacity(keys.count)
  }

  /// The references that meant no client.
  var unknown: [Int] { keys.indices.filter(isUnknown) }

  func isUnknown(_ place: Int) -> Bool {
    if case .failure(let rejection) = outcomes[place] { rejection.code == .unknownClient } else { false }
  }

  func client(of event: JourneyEvent) -> UUID? { known[ClientKey(event)].flatMap { try? outcomes[$0].get() } }

  private static let columns = "is_known_organization, is_own, id"

  /// Finds clients. One that has become another is that other one.
  static let find = PostgresStatement(
    name: "find_clients",
    """
    SELECT \(columns) FROM (
      SELECT i.position, o.id IS NOT NULL AS is_known_organization, c.org_id = i.org_id AS is_own,
        COALESCE(s.merged_into, CASE WHEN c.org_id = i.org_id THEN c.id ELSE d.client_id END) AS id
      FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[]) WITH ORDINALITY AS i(org_id, source, client_id, external_id, position)
      LEFT JOIN organizations o ON o.id = i.org_id
      LEFT JOIN contacts c ON c.id = i.client_id
      LEFT JOIN journey_identities d ON d.org_id = i.org_id AND d.source = i.source AND d.external_id = i.external_id
      LEFT JOIN journey_client_state s ON s.client_id = CASE WHEN c.org_id = i.org_id THEN c.id ELSE d.client_id END
    ) AS found ORDER BY position
    """)

  /// Finds clients, locks their states in the order of their ids, whatever the batch's order, and reads how they stand: a round trip and a descent of
  /// each index less than one after the other.
  static let findAndLock = findAndLock(name: "find_and_lock_clients", "FOR UPDATE")

  /// The same, which does not wait for clients that another transaction has locked.
  static let findAndLockFree = findAndLock(name: "find_and_lock_free_clients", "FOR UPDATE SKIP LOCKED")

  private static func findAndLock(name: String, _ lock: String) -> PostgresStatement {
    PostgresStatement(
      name: name,
      """
      WITH found AS MATERIALIZED (
        SELECT i.position, i.org_id, COALESCE(own.id, linked.id) AS id,
          CASE WHEN own.id IS NULL THEN linked.name ELSE own.name END AS name, CASE WHEN own.id IS NULL THEN linked.email ELSE own.email END AS email,
          CASE WHEN own.id IS NULL THEN linked.phone ELSE own.phone END AS phone,
          CASE WHEN own.id IS NULL THEN linked.ai_score ELSE own.ai_score END AS ai_score,
          CASE WHEN own.id IS NULL AND i.client_id IS NOT NULL THEN (SELECT false FROM contacts f WHERE f.id = i.client_id LIMIT 1) END AS is_own
        FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[]) WITH ORDINALITY AS i(org_id, source, client_id, external_id, position)
        LEFT JOIN contacts own ON own.id = i.client_id AND own.org_id = i.org_id
        LEFT JOIN journey_identities d ON d.org_id = i.org_id AND d.source = i.source AND d.external_id = i.external_id
        LEFT JOIN contacts linked ON linked.id = d.client_id
      ), s AS MATERIALIZED (
        SELECT client_id, merged_into, summary, outreach, scored_at FROM journey_client_state
        WHERE client_id IN (SELECT id FROM found) ORDER BY client_id \(lock)
      )
      SELECT c.id IS NOT NULL OR (SELECT true FROM organizations o WHERE o.id = c.org_id LIMIT 1), c.is_own, c.id,
        s.client_id IS NOT NULL, s.merged_into IS NOT NULL,
        CASE WHEN s.client_id IS NULL THEN (SELECT true FROM journey_client_state t WHERE t.client_id = c.id LIMIT 1) END,
        \(LockedClient.columns)
      FROM found c LEFT JOIN s ON s.client_id = c.id
      ORDER BY c.position
      """)
  }

  /// Locks the states of clients that are known and free, and reads how they stand: all there is to do about nearly every reference, by a descent of each
  /// index. It waits for nobody, so the order of its locks does not matter.
  ///
  /// An id in the form of a client's own that is none, but one that the source uses, is left for the second look: that its own client is merely held would have
  /// to be ruled out first.
  ///
  /// $1: the ids of clients, $2: the organisations, $3 to $5: the ids under which sources know clients.
  private static let lockKnown = PostgresStatement(
    name: "lock_known_clients",
    """
    SELECT s.client_id, \(LockedClient.columns)
    FROM journey_client_state s JOIN contacts c ON c.id = s.client_id
    WHERE s.client_id = ANY ($1::uuid[] || ARRAY(SELECT client_id FROM \(linkedClients(from: 3)))) AND s.merged_into IS NULL AND c.org_id = ANY ($2::uuid[])
    FOR UPDATE OF s SKIP LOCKED
    """)

  private static let findLinked = PostgresStatement(
    name: "find_linked_clients", "SELECT position, client_id FROM \(linkedClients(from: 1))")

  /// The clients that sources know by their own ids, with the positions of those ids.
  /// - Parameter parameter: the number of the first of three: organisations, sources, ids.
  private static func linkedClients(from parameter: Int) -> String {
    """
    (SELECT unnest($\(parameter)::uuid[]) AS org_id, unnest($\(parameter + 1)::text[]) AS source, unnest($\(parameter + 2)::text[]) AS external_id,
          generate_subscripts($\(parameter)::uuid[], 1) AS position) AS i
        CROSS JOIN LATERAL (
          SELECT d.client_id FROM journey_identities d
          WHERE d.org_id = i.org_id AND d.source = i.source AND d.external_id = i.external_id LIMIT 1) AS l
    """
  }

  /// References by the id of a source alone.
  private var linked: [Int] { keys.indices.filter { keys[$0].reference.id == nil } }

  /// Locks the clients that are known and free; see `take(known:)`.
  var locks: [(PostgresStatement, PostgresParameters)] {
    let named = keys.lazy.compactMap(\.reference.id), linked = linked
    func add(_ parameters: inout PostgresParameters) {
      parameters.uuids(linked) { keys[$0].orgID }
      parameters.texts(linked) { keys[$0].source }
      parameters.texts(linked) { keys[$0].reference.externalID }
    }
    let lock = PostgresParameters {
      $0.uuids(Array(named))
      $0.uuids(Array(Set(keys.map(\.orgID))))
      add(&$0)
    }
    return (linked.isEmpty ? [] : [(Self.findLinked, PostgresParameters { add(&$0) })]) + [(Self.lockKnown, lock)]
  }

  /// References whose clients are not locked yet.
  var open: [Int] {
    keys.indices.filter { place in
      guard case .success(let id) = outcomes[place] else { return true }
      return locked[id] == nil
    }
  }

  func parameters(_ places: [Int]) -> PostgresParameters {
    PostgresParameters {
      $0.uuids(places) { keys[$0].orgID }
      $0.texts(places) { keys[$0].source }
      $0.uuids(places) { keys[$0].reference.id }
      $0.texts(places) { keys[$0].reference.externalID }
    }
  }

  /// Takes the answer to `find` for some of the references in.
  /// - Returns: those whose clients are to be created.
  mutating func take(_ places: [Int], found result: PostgresResult) throws(PostgresError) -> [Int] {
    var toCreate: [Int] = []
    for (row, place) in places.enumerated() where try !take(place, result, row) { toCreate.append(place) }
    return toCreate
  }

  /// Takes the answers to `locks` in.
  mutating func take(known answers: [PostgresResult]) throws(PostgresError) {
    let lock = answers[answers.count - 1]
    for row in 0..<lock.rowCount { locked[try lock.uuid(row, 0)] = try LockedClient(lock, row, from: 1) }
    for place in keys.indices {
      // Another organisation's client may have been locked for that one's own event.
      if let id = keys[place].reference.id, locked[id]?.orgID == keys[place].orgID { outcomes[place] = .success(id) }
    }
    guard answers.count > 1 else { return }
    let (found, linked) = (answers[0], linked)
    for row in 0..<found.rowCount {
      let id = try found.uuid(row, 1)
      if locked[id] != nil { outcomes[linked[Int(try found.int64(row, 0)) - 1]] = .success(id) }
    }
  }

  /// Takes the answer to `findAndLock` for some of the references in.
  /// - Returns: those whose clients are to be created.
  mutating func take(_ places: [Int], foundAndLocked result: PostgresResult) throws(PostgresError) -> [Int] {
    var toCreate: [Int] = []
    for (row, place) in places.enumerated() {
      if try !take(place, result, row) { toCreate.append(place) }
      guard case .success(let id) = outcomes[place] else { continue }
      if try result.boolIfPresent(row, 5) == true {
        held.insert(id)
      } else if try !result.bool(row, 3) {
        unmet[id] = keys[place].orgID
      } else if try result.bool(row, 4) {
        hasMerged = true
      } else if locked[id] == nil {
        locked[id] = try LockedClient(result, row, from: 6)
      }
    }
    return toCreate
  }

  /// Takes clients in that were locked by their ids.
  /// - Parameter othersAreHeld: what is not among them is locked by another transaction.
  mutating func take(locked result: PostgresResult, othersAreHeld: Bool) throws(PostgresError) {
    for row in 0..<result.rowCount { locked[try result.uuid(row, 0)] = try LockedClient(result, row, from: 1) }
    if othersAreHeld { held = Set(unmet.keys.filter { locked[$0] == nil }) }
  }

  /// Forgets what is locked: the transaction starts again.
  mutating func unlock() {
    locked = [:]
    held = []
    unmet = [:]
  }

  /// Those of `unmet`, in the order of their ids.
  var newStates: PostgresParameters {
    let rows = unmet.sorted { $0.key < $1.key }
    return PostgresParameters {
      $0.uuids(rows) { $0.key }
      $0.uuids(rows) { $0.value }
    }
  }

  /// Every client that a reference means may lack a state.
  mutating func expectUnmet() {
    for place in keys.indices { if case .success(let id) = outcomes[place] { unmet[id] = keys[place].orgID } }
  }

  /// - Returns: false where the client is to be created.
  private mutating func take(_ place: Int, _ result: PostgresResult, _ row: Int) throws(PostgresError) -> Bool {
    let key = keys[place]
    if try result.boolIfPresent(row, 0) != true {
      refuse(place, Rejection(.unknownOrganization, field: "organization", value: key.orgID.text, "there is no such organisation"))
    } else if let found = try result.uuidIfPresent(row, 2) {
      outcomes[place] = .success(found)
    } else if try result.boolIfPresent(row, 1) == false {
      refuse(
        place,
        Rejection(
          .foreignClient, field: "client", value: key.reference.text, "the client does not belong to the organisation \(key.orgID.text)"))
    } else if key.reference.creation != nil {
      return false
    } else {
      refuse(
        place,
        Rejection(
          .unknownClient, field: "client", value: key.reference.text, isRetried: key.reference.whenUnknown.isRetried,
          "no such client in the organisation \(key.orgID.text), and the mapping does not create one"))
    }
    return true
  }

  mutating func refuse(_ place: Int, _ rejection: Rejection) { outcomes[place] = .failure(rejection) }

  /// Refuses a client that was to be created and is not there after all.
  mutating func refuse(_ place: Int) {
    refuse(
      place,
      Rejection(
        .unknownClient, field: "client", value: keys[place].reference.text, "the client could not be created: its identity is taken"))
  }

  /// Creates clients. An identity is claimed first: of two instances that meet the same new client one waits here, and then finds it.
  static func create(_ keys: [ClientKey], at now: Timestamp, on connection: PostgresConnection) throws(PostgresError) {
    var random = IDRandom()
    var rows: [(key: ClientKey, id: UUID)] = []
    for key in Set(keys).sorted(by: { $0.order.lexicographicallyPrecedes($1.order) }) {
      rows.append((key, key.reference.id ?? UUID.v7(at: now, using: &random)))
    }
    let claimed = try connection.execute(
      Self.claim,
      PostgresParameters {
        $0.uuids(rows) { $0.key.orgID }
        $0.texts(rows) { $0.key.source }
        $0.texts(rows) { $0.key.reference.externalID ?? $0.id.text }
        $0.uuids(rows) { $0.id }
      })
    var ids: Set<UUID> = []
    for row in 0..<claimed.rowCount { ids.insert(try claimed.uuid(row, 0)) }
    let new = rows.filter { ids.contains($0.id) }
    guard !new.isEmpty else { return }
    try connection.execute(
      Self.insert,
      PostgresParameters {
        $0.uuids(new) { $0.id }
        $0.uuids(new) { $0.key.orgID }
        $0.texts(new) { $0.key.reference.creation?.name }
        $0.texts(new) { $0.key.reference.creation?.email }
        $0.texts(new) { $0.key.reference.creation?.phone }
      })
  }

  private static let claim = PostgresStatement(
    name: "claim_identities",
    """
    INSERT INTO journey_identities (org_id, source, external_id, client_id)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[])
    ON CONFLICT (org_id, source, external_id) DO NOTHING
    RETURNING client_id
    """)

  private static let insert = PostgresStatement(
    name: "create_clients",
    """
    INSERT INTO contacts (id, org_id, name, email, phone)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[])
    ON CONFLICT (id) DO NOTHING
    """)
}

extension ClientKey {
  /// One order for all instances, so that they never wait for each other in a circle.
  var order: [String] { [orgID.text, source, reference.externalID ?? "", reference.id?.text ?? ""] }
}

extension UnknownClient {
  /// As `Rejection.isRetried`.
  fileprivate var isRetried: Bool? {
    switch self {
    case .asSettingsSay: nil
    case .retry: true
    case .reject: false
    }
  }
}

extension ClientReference {
  var text: String { externalID ?? id?.text ?? "" }
}
