import FoundationEssentials
import Journey
import PostgresClient

/// Resolves a batch's references to clients, and creates clients if the mapping allows it. Results are kept by the
/// index of each distinct reference.
struct ClientResolution {
  /// The distinct references of a batch.
  let keys: [ClientKey]
  private let known: [ClientKey: Int]
  /// A reference that is not looked up or created yet counts as unknown.
  private(set) var outcomes: [Result<UUID, Rejection>]
  /// The locked clients, by id.
  private(set) var locked: [UUID: LockedClient] = [:]
  /// Clients that have no state yet, with their organisations.
  private(set) var clientsWithoutState: [UUID: UUID] = [:]
  /// References to clients that another transaction has locked, or whose organisation it has locked.
  private(set) var held: Set<Int> = []
  /// Whether one of the clients was merged into another.
  private(set) var hasMerged = false
  /// The merged clients that references name. Their events go back to them if the merge is undone.
  private(set) var origins: [Int: UUID] = [:]

  /// - Returns: the distinct references of a batch, and the index of each event's reference.
  static func references(of events: [IncomingEvent]) -> (ClientResolution, keyIndices: [Int]) {
    var known: [ClientKey: Int] = [:]
    known.reserveCapacity(events.count)
    var keys: [ClientKey] = []
    let keyIndices = events.map { incoming in
      let key = ClientKey(incoming.event)
      if let keyIndex = known[key] { return keyIndex }
      known[key] = keys.count
      keys.append(key)
      return keys.count - 1
    }
    return (ClientResolution(keys: keys, known: known), keyIndices)
  }

  private init(keys: [ClientKey], known: [ClientKey: Int]) {
    self.keys = keys
    self.known = known
    outcomes = Array(
      repeating: .failure(Rejection(.unknownClient, field: "client", "not looked for yet")), count: keys.count)
    locked.reserveCapacity(keys.count)
  }

  /// The references without a client, except those that are held.
  var unknown: [Int] { keys.indices.filter { isUnknown($0) && !held.contains($0) } }

  func isUnknown(_ keyIndex: Int) -> Bool {
    if case .failure(let rejection) = outcomes[keyIndex] { rejection.code == .unknownClient } else { false }
  }

  /// - Returns: nil also if the client is held.
  func client(of event: JourneyEvent) -> UUID? {
    known[ClientKey(event)].flatMap { keyIndex in held.contains(keyIndex) ? nil : try? outcomes[keyIndex].get() }
  }

  /// The merged clients that events name, by the events' indices.
  func origins(of events: [Int], _ keyIndices: [Int]) -> [Int: UUID] {
    var named: [Int: UUID] = [:]
    if !origins.isEmpty { for index in events { named[index] = origins[keyIndices[index]] } }
    return named
  }

  /// The client itself, or the merged client that the event names.
  func origin(of event: JourneyEvent) -> UUID? {
    client(of: event).map { client in known[ClientKey(event)].flatMap { origins[$0] } ?? client }
  }

  func keyIndex(of event: JourneyEvent) -> Int? { known[ClientKey(event)] }
  func isHeld(clientOf event: JourneyEvent) -> Bool { known[ClientKey(event)].map(held.contains) ?? false }
  mutating func hold(_ keyIndex: Int) { held.insert(keyIndex) }
  mutating func hold(clientOf event: JourneyEvent) { if let keyIndex = known[ClientKey(event)] { hold(keyIndex) } }

  /// References without a client's own id.
  private var linked: [Int] { keys.indices.filter { keys[$0].reference.id == nil } }

  /// Locks the clients that are known and not held by others; see `apply(known:)`.
  var locks: [(PostgresStatement, PostgresParameters)] {
    let named = keys.compactMap(\.reference.id), linked = linked
    func add(_ parameters: inout PostgresParameters) {
      parameters.uuids(linked) { keys[$0].orgID }
      parameters.texts(linked) { keys[$0].source }
      parameters.texts(linked) { keys[$0].reference.externalID }
    }
    let lock = PostgresParameters {
      $0.uuids(named)
      $0.uuids(Array(Set(keys.map(\.orgID))))
      add(&$0)
    }
    return (linked.isEmpty ? [] : [(ClientStatements.findLinked, PostgresParameters { add(&$0) })]) + [
      (ClientStatements.lockKnown, lock)
    ]
  }

  /// References whose clients are not locked yet.
  var open: [Int] {
    keys.indices.filter { keyIndex in
      guard case .success(let id) = outcomes[keyIndex] else { return true }
      return locked[id] == nil
    }
  }

  func parameters(_ keyIndices: [Int]) -> PostgresParameters {
    PostgresParameters {
      $0.uuids(keyIndices) { keys[$0].orgID }
      $0.texts(keyIndices) { keys[$0].source }
      $0.uuids(keyIndices) { keys[$0].reference.id }
      $0.texts(keyIndices) { keys[$0].reference.externalID }
    }
  }

  /// Applies the answer to `find` for some of the references.
  /// - Returns: the references whose clients have to be created.
  mutating func apply(_ keyIndices: [Int], found result: PostgresResult) throws(PostgresError) -> [Int] {
    var toCreate: [Int] = []
    for (row, keyIndex) in keyIndices.enumerated() {
      let isToBeCreated = try !apply(keyIndex, result, row)
      origins[keyIndex] = try result.uuidIfPresent(row, 4)
      let isConcerned = isToBeCreated || keys[keyIndex].reference.email != nil || (try? outcomes[keyIndex].get()) != nil
      if isConcerned, try !result.bool(row, 3) { hold(keyIndex) } else if isToBeCreated { toCreate.append(keyIndex) }
    }
    return toCreate
  }

  /// Applies the answers to `locks`.
  mutating func apply(known answers: [PostgresResult]) throws(PostgresError) {
    let lock = answers[answers.count - 1]
    for row in 0..<lock.rowCount { locked[try lock.uuid(row, 0)] = try LockedClient(lock, row, from: 1) }
    for keyIndex in keys.indices {
      // The client may belong to another organisation, and be locked for that organisation's event.
      if let id = keys[keyIndex].reference.id, locked[id]?.orgID == keys[keyIndex].orgID {
        outcomes[keyIndex] = .success(id)
      }
    }
    guard answers.count > 1 else { return }
    let (found, linked) = (answers[0], linked)
    for row in 0..<found.rowCount {
      let id = try found.uuid(row, 1)
      guard locked[id] != nil else { continue }
      let keyIndex = linked[Int(try found.int64(row, 0)) - 1]
      outcomes[keyIndex] = .success(id)
      if let origin = try found.uuidIfPresent(row, 2) { origins[keyIndex] = origin }
    }
  }

  /// Applies the answer to `findAndLock` for some of the references.
  /// - Returns: the references whose clients have to be created.
  mutating func apply(_ keyIndices: [Int], foundAndLocked result: PostgresResult) throws(PostgresError) -> [Int] {
    var toCreate: [Int] = []
    for (row, keyIndex) in keyIndices.enumerated() {
      if try !apply(keyIndex, result, row) { toCreate.append(keyIndex) }
      origins[keyIndex] = try result.uuidIfPresent(row, 7)
      guard case .success(let id) = outcomes[keyIndex] else { continue }
      if try !result.bool(row, 3) {
        hold(keyIndex)
      } else if try result.bool(row, 4) {
        if try result.bool(row, 5) {
          hasMerged = true
        } else if locked[id] == nil {
          locked[id] = try LockedClient(result, row, from: 8)
        }
      } else if try result.boolIfPresent(row, 6) != true {
        clientsWithoutState[id] = keys[keyIndex].orgID
      }
    }
    return toCreate
  }

  /// Applies the answer to `lockClients`.
  mutating func apply(locked result: PostgresResult) throws(PostgresError) {
    for row in 0..<result.rowCount { locked[try result.uuid(row, 0)] = try LockedClient(result, row, from: 1) }
    clientsWithoutState = [:]
  }

  /// Forgets all locks, because the transaction starts again.
  mutating func unlock() { (locked, held) = ([:], []) }

  /// The rows for `clientsWithoutState`, ordered by id.
  var newStates: PostgresParameters {
    let rows = clientsWithoutState.sorted { $0.key < $1.key }
    return PostgresParameters {
      $0.uuids(rows) { $0.key }
      $0.uuids(rows) { $0.value }
    }
  }

  /// Assumes that every resolved client may lack a state.
  mutating func expectClientsWithoutState() {
    clientsWithoutState = [:]
    for keyIndex in keys.indices where !held.contains(keyIndex) {
      if case .success(let id) = outcomes[keyIndex] { clientsWithoutState[id] = keys[keyIndex].orgID }
    }
  }

  /// - Returns: false if the client has to be created.
  private mutating func apply(_ keyIndex: Int, _ result: PostgresResult, _ row: Int) throws(PostgresError) -> Bool {
    let key = keys[keyIndex]
    if try result.boolIfPresent(row, 0) != true {
      refuse(
        keyIndex,
        Rejection(.unknownOrganization, field: "organization", value: key.orgID.text, "there is no such organisation"))
    } else if let found = try result.uuidIfPresent(row, 2) {
      outcomes[keyIndex] = .success(found)
    } else if try result.boolIfPresent(row, 1) == false {
      refuse(
        keyIndex,
        Rejection(
          .foreignClient, field: "client", value: key.reference.text,
          "the client does not belong to the organisation \(key.orgID.text)"))
    } else if key.reference.creation != nil {
      return false
    } else {
      refuse(
        keyIndex,
        Rejection(
          .unknownClient, field: "client", value: key.reference.text, isRetried: key.reference.whenUnknown.isRetried,
          "no such client in the organisation \(key.orgID.text), and the mapping does not create one"
            + (key.reference.ignoresEmail
              ? "; its e-mail address is not used, because the mapping does not say that the source verifies it (emailVerified)"
              : "")))
    }
    return true
  }

  mutating func refuse(_ keyIndex: Int, _ rejection: Rejection) { outcomes[keyIndex] = .failure(rejection) }

  /// Rejects a client that could not be created.
  mutating func refuse(_ keyIndex: Int) {
    refuse(
      keyIndex,
      Rejection(
        .unknownClient, field: "client", value: keys[keyIndex].reference.text,
        "the client could not be created: its identity is taken"))
  }

  /// Creates clients. The identity is claimed first: if two instances create the same client, the second waits here and
  /// then finds it.
  static func create(_ keys: [ClientKey], at now: Timestamp, on connection: PostgresConnection) throws(PostgresError) {
    var random = IDRandom()
    var rows: [(key: ClientKey, id: UUID)] = []
    for key in Set(keys).sorted(by: { $0.order.lexicographicallyPrecedes($1.order) }) {
      rows.append((key, key.reference.id ?? UUID.v7(at: now, using: &random)))
    }
    let claimed = try connection.execute(
      ClientStatements.claim,
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
      ClientStatements.create,
      PostgresParameters {
        $0.uuids(new) { $0.id }
        $0.uuids(new) { $0.key.orgID }
        $0.texts(new) { $0.key.reference.creation?.name }
        $0.texts(new) { $0.key.reference.creation?.email }
        $0.texts(new) { $0.key.reference.creation?.phone }
        $0.bools(new) { $0.key.reference.creation?.isEmailVerified == true }
      })
  }
}

extension UnknownClient {
  /// As `Rejection.isRetried`.
  fileprivate var isRetried: Bool? {
    switch self {
    case .asSettingsSay: nil
    case .retry: true
    case .reject, .ignore: false
    }
  }
}
