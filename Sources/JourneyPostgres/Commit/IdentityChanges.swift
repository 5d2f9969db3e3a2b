import FoundationEssentials
import Journey
import PostgresClient

/// The identity changes of a batch. A batch whose clients are all known and whose events contain no identities has
/// none, and needs no statement.
struct IdentityChanges {
  /// Indices of unknown references that have an e-mail address.
  private var byEmail: [Int] = []
  /// The first event of each of these, for the identity log.
  private var finding: [Int: String] = [:]
  private var linking: [(event: JourneyEvent, id: String)] = []
  private var merging: [(event: JourneyEvent, id: String)] = []

  /// - Parameter stored: the indices of stored events. What they say of identities was applied with them, and may have
  ///   been corrected by a person since.
  init(_ events: [IncomingEvent], _ resolution: ClientResolution, stored: Set<Int>) {
    byEmail = resolution.unknown.filter { resolution.keys[$0].reference.email != nil }
    if !byEmail.isEmpty {
      for event in events.lazy.map(\.event) where event.client.email != nil {
        if let keyIndex = resolution.keyIndex(of: event), finding[keyIndex] == nil {
          finding[keyIndex] = event.sourceEventID
        }
      }
    }
    for (index, event) in events.lazy.map(\.event).enumerated()
    where !event.client.linked.isEmpty || !event.client.merged.isEmpty {
      if stored.contains(index) { continue }
      linking += event.client.linked.map { (event, $0) }
      merging += event.client.merged.map { (event, $0) }
    }
  }

  var isEmpty: Bool { byEmail.isEmpty && linking.isEmpty && merging.isEmpty }

  /// Finds clients by address, creates, links and merges, in this order, and updates the resolution.
  /// - Parameter toCreate: unknown references whose clients may be created.
  func apply(
    to resolution: inout ClientResolution, creating toCreate: [Int], at now: Timestamp,
    on connection: PostgresConnection
  ) throws(PostgresError) {
    var toCreate = toCreate
    var merging = merging.filter { !resolution.isHeld(clientOf: $0.event) }
    try holdOthers(&merging, &resolution, on: connection)
    if !merging.isEmpty { try linkByAlias(merging, on: connection) }
    let byEmail = byEmail.filter { !resolution.held.contains($0) }
    if !byEmail.isEmpty || !merging.isEmpty {
      let shared = try find(byEmail, &resolution, on: connection)
      toCreate = try look(for: resolution.unknown, in: &resolution, connection)
      for keyIndex in shared {
        let key = resolution.keys[keyIndex]
        resolution.refuse(
          keyIndex,
          Rejection(
            .ambiguousClient, field: "client's e-mail", value: key.reference.email,
            "several clients of the organisation \(key.orgID.text) share this address; link the source's id \(key.reference.text) to one of them"
          ))
        toCreate.removeAll { $0 == keyIndex }
      }
    }
    if !toCreate.isEmpty {
      try ClientResolution.create(toCreate.map { resolution.keys[$0] }, at: now, on: connection)
      // Other events of the batch may refer to the clients that exist now.
      for keyIndex in try look(for: resolution.unknown, in: &resolution, connection) { resolution.refuse(keyIndex) }
    }
    let isLinked = try link(resolution, on: connection)
    let isMerged = try merge(merging, resolution, on: connection)
    guard isLinked || isMerged else { return }
    let again = resolution.keys.indices.filter {
      resolution.isUnknown($0) || (try? resolution.outcomes[$0].get()) != nil
    }
    for keyIndex in try look(for: again, in: &resolution, connection) { resolution.refuse(keyIndex) }
  }

  private func look(
    for keyIndices: [Int], in resolution: inout ClientResolution, _ connection: PostgresConnection
  ) throws(PostgresError) -> [Int] {
    try resolution.apply(
      keyIndices, found: connection.execute(ClientStatements.find, resolution.parameters(keyIndices)))
  }

  // MARK: Steps

  /// Locks the clients of the ids to merge. Merges that concern a client of another transaction are removed; their
  /// events are deferred.
  private func holdOthers(
    _ merging: inout [(event: JourneyEvent, id: String)], _ resolution: inout ClientResolution,
    on connection: PostgresConnection
  ) throws(PostgresError) {
    guard !merging.isEmpty else { return }
    let rows = merging
    let answer = try connection.execute(
      Statements.lockOthers,
      PostgresParameters {
        $0.uuids(rows) { $0.event.orgID }
        $0.texts(rows) { $0.event.source }
        $0.texts(rows) { $0.id }
      })
    for row in 0..<answer.rowCount { resolution.hold(clientOf: rows[Int(try answer.int64(row, 0)) - 1].event) }
    merging.removeAll { resolution.isHeld(clientOf: $0.event) }
  }

  /// Links an unknown id to the client of one of its other ids, if that is known.
  private func linkByAlias(_ merging: [(event: JourneyEvent, id: String)], on connection: PostgresConnection)
    throws(PostgresError)
  {
    let rows = Self.ordered(merging)
    try connection.execute(
      Statements.linkByAlias,
      PostgresParameters {
        $0.uuids(rows) { $0.event.orgID }
        $0.texts(rows) { $0.event.source }
        $0.texts(rows) { $0.event.client.text }
        $0.texts(rows) { $0.id }
        $0.texts(rows) { $0.event.sourceEventID }
      })
  }

  /// - Returns: the references whose address several clients share.
  private func find(_ keyIndices: [Int], _ resolution: inout ClientResolution, on connection: PostgresConnection)
    throws(PostgresError) -> [Int]
  {
    guard !keyIndices.isEmpty else { return [] }
    let keyIndices = keyIndices.sorted {
      resolution.keys[$0].order.lexicographicallyPrecedes(resolution.keys[$1].order)
    }
    let keys = keyIndices.map { resolution.keys[$0] }, finding = finding
    let result = try connection.execute(
      Statements.find,
      PostgresParameters {
        $0.uuids(keys) { $0.orgID }
        $0.texts(keys) { $0.source }
        $0.texts(keys) { $0.reference.text }
        $0.texts(keys) { $0.reference.email }
        $0.texts(keyIndices) { finding[$0] }
      })
    var shared: [Int] = []
    for row in 0..<result.rowCount {
      let keyIndex = keyIndices[Int(try result.int64(row, 0)) - 1]
      if try result.bool(row, 1) { shared.append(keyIndex) } else { resolution.hold(keyIndex) }
    }
    return shared
  }

  private func link(_ resolution: ClientResolution, on connection: PostgresConnection) throws(PostgresError) -> Bool {
    let rows = Self.ordered(linking).compactMap { item in
      resolution.client(of: item.event).map { (event: item.event, id: item.id, client: $0) }
    }
    guard !rows.isEmpty else { return false }
    try connection.execute(Statements.link, Self.parameters(rows, resolution))
    // A new link matters to this batch only if a client is still unknown.
    return !resolution.unknown.isEmpty
  }

  private func merge(
    _ merging: [(event: JourneyEvent, id: String)], _ resolution: ClientResolution, on connection: PostgresConnection
  ) throws(PostgresError) -> Bool {
    let rows = Self.ordered(merging).compactMap { item in
      resolution.client(of: item.event).map { (event: item.event, id: item.id, client: $0) }
    }
    guard !rows.isEmpty else { return false }
    try connection.pipeline([
      (Statements.addMerged, Self.parameters(rows, resolution)), (Statements.merge, Self.parameters(rows, nil)),
    ])
    return true
  }

  /// - Parameter resolution: for the clients to which the ids go back if a merge is undone; nil: without them.
  private static func parameters(
    _ rows: [(event: JourneyEvent, id: String, client: UUID)], _ resolution: ClientResolution?
  ) -> PostgresParameters {
    PostgresParameters {
      $0.uuids(rows) { $0.event.orgID }
      $0.texts(rows) { $0.event.source }
      $0.texts(rows) { $0.id }
      $0.uuids(rows) { $0.client }
      $0.texts(rows) { $0.event.sourceEventID }
      if let resolution { $0.uuids(rows) { resolution.origin(of: $0.event) } }
    }
  }

  /// The same order in all instances, which makes deadlocks rare.
  private static func ordered(_ items: [(event: JourneyEvent, id: String)]) -> [(event: JourneyEvent, id: String)] {
    items.sorted {
      [$0.event.orgID.text, $0.event.source, $0.id].lexicographicallyPrecedes([
        $1.event.orgID.text, $1.event.source, $1.id,
      ])
    }
  }
}
