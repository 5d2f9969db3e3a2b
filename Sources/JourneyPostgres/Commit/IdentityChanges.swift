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

  init(_ events: [IncomingEvent], _ resolution: ClientResolution) {
    byEmail = resolution.unknown.filter { resolution.keys[$0].reference.email != nil }
    if !byEmail.isEmpty {
      for event in events.lazy.map(\.event) where event.client.email != nil {
        if let keyIndex = resolution.keyIndex(of: event), finding[keyIndex] == nil {
          finding[keyIndex] = event.sourceEventID
        }
      }
    }
    for event in events.lazy.map(\.event) where !event.client.linked.isEmpty || !event.client.merged.isEmpty {
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
      resolution.client(of: item.event).map { (item.event, item.id, $0) }
    }
    guard !rows.isEmpty else { return false }
    try connection.execute(
      Statements.link,
      PostgresParameters {
        $0.uuids(rows) { $0.0.orgID }
        $0.texts(rows) { $0.0.source }
        $0.texts(rows) { $0.1 }
        $0.uuids(rows) { $0.2 }
        $0.texts(rows) { $0.0.sourceEventID }
      })
    // A new link matters to this batch only if a client is still unknown.
    return !resolution.unknown.isEmpty
  }

  private func merge(
    _ merging: [(event: JourneyEvent, id: String)], _ resolution: ClientResolution, on connection: PostgresConnection
  ) throws(PostgresError) -> Bool {
    let rows = Self.ordered(merging).compactMap { item in
      resolution.client(of: item.event).map { (item.event, item.id, $0) }
    }
    guard !rows.isEmpty else { return false }
    let parameters = PostgresParameters {
      $0.uuids(rows) { $0.0.orgID }
      $0.texts(rows) { $0.0.source }
      $0.texts(rows) { $0.1 }
      $0.uuids(rows) { $0.2 }
      $0.texts(rows) { $0.0.sourceEventID }
    }
    try connection.pipeline([(Statements.addMerged, parameters), (Statements.merge, parameters)])
    return true
  }

  /// The same order in all instances, which makes deadlocks rare.
  private static func ordered(_ items: [(event: JourneyEvent, id: String)]) -> [(event: JourneyEvent, id: String)] {
    items.sorted {
      [$0.event.orgID.text, $0.event.source, $0.id].lexicographicallyPrecedes([
        $1.event.orgID.text, $1.event.source, $1.id,
      ])
    }
  }

  enum Statements {
    /// Locks the contacts and states of the clients with these ids. Returns the positions of those that another
    /// transaction holds.
    static let lockOthers = PostgresStatement(
      name: "lock_other_clients",
      """
      WITH found AS MATERIALIZED (
        SELECT i.position, d.client_id FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS i(org_id, source, external_id, position)
        JOIN journey_identities d ON d.org_id = i.org_id AND d.source = i.source AND d.external_id = i.external_id
      ), k AS MATERIALIZED (
        SELECT c.id FROM contacts c WHERE c.id IN (SELECT client_id FROM found) FOR KEY SHARE SKIP LOCKED
      ), s AS MATERIALIZED (
        SELECT client_id FROM journey_client_state WHERE client_id IN (SELECT id FROM k) FOR UPDATE SKIP LOCKED
      )
      SELECT position FROM found f
      WHERE NOT EXISTS (SELECT FROM k WHERE k.id = f.client_id)
        OR NOT EXISTS (SELECT FROM s WHERE s.client_id = f.client_id)
          AND EXISTS (SELECT FROM journey_client_state t WHERE t.client_id = f.client_id)
      """)

    static let linkByAlias = PostgresStatement(
      name: "adopt_identities",
      """
      INSERT INTO journey_identities (org_id, source, external_id, client_id, via, event_id)
      SELECT DISTINCT ON (i.org_id, i.source, i.external_id) i.org_id, i.source, i.external_id, d.client_id, 'merge', i.event_id
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[]) AS i(org_id, source, external_id, other, event_id)
      JOIN journey_identities d ON d.org_id = i.org_id AND d.source = i.source AND d.external_id = i.other
      ORDER BY i.org_id, i.source, i.external_id, d.client_id
      ON CONFLICT (org_id, source, external_id) DO NOTHING
      """)

    /// Links ids to the clients that their addresses identify. Returns the positions of addresses that several clients
    /// share (true), or whose client another transaction holds (false).
    static let find = PostgresStatement(
      name: "find_by_email",
      """
      WITH found AS MATERIALIZED (
        SELECT i.position, i.org_id, i.source, i.external_id, i.event_id, (array_agg(DISTINCT COALESCE(s.merged_into, c.id)))[1] AS client_id,
          count(DISTINCT COALESCE(s.merged_into, c.id)) AS clients
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY
          AS i(org_id, source, external_id, email, event_id, position)
        JOIN contacts c ON c.org_id = i.org_id AND lower(c.email) = lower(i.email) AND \(VerifiedEmail.condition)
        LEFT JOIN journey_client_state s ON s.client_id = c.id
        GROUP BY i.position, i.org_id, i.source, i.external_id, i.event_id
      ), k AS MATERIALIZED (
        SELECT c.id FROM contacts c WHERE c.id IN (SELECT client_id FROM found WHERE clients = 1) FOR KEY SHARE SKIP LOCKED
      ), linked AS (
        INSERT INTO journey_identities (org_id, source, external_id, client_id, via, event_id)
        SELECT DISTINCT ON (org_id, source, external_id) org_id, source, external_id, client_id, 'email', event_id FROM found
        WHERE clients = 1 AND client_id IN (SELECT id FROM k)
        ORDER BY org_id, source, external_id, position
        ON CONFLICT (org_id, source, external_id) DO NOTHING
        RETURNING org_id, source, external_id, client_id, event_id
      ), logged AS (
        INSERT INTO journey_identity_log (org_id, action, source, external_id, client_id, event_id, actor, why)
        SELECT org_id, 'linked', source, external_id, client_id, event_id, 'journey serve', 'found by its e-mail address' FROM linked
      )
      SELECT position, clients > 1 FROM found WHERE clients > 1 OR NOT EXISTS (SELECT FROM k WHERE k.id = found.client_id) ORDER BY position
      """)

    static let link = PostgresStatement(
      name: "link_identities",
      """
      INSERT INTO journey_identities (org_id, source, external_id, client_id, event_id, via)
      SELECT DISTINCT ON (org_id, source, external_id) *, 'thing' FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[])
        AS i(org_id, source, external_id, client_id, event_id)
      ORDER BY org_id, source, external_id
      ON CONFLICT (org_id, source, external_id) DO NOTHING
      """)

    /// Links ids that have no client yet. It runs before `merge`, whose function does not log the event.
    static let addMerged = PostgresStatement(
      name: "add_merged_identities",
      """
      WITH linked AS (
        INSERT INTO journey_identities (org_id, source, external_id, client_id, via, event_id)
        SELECT DISTINCT ON (org_id, source, external_id) org_id, source, external_id, client_id, 'merge', event_id
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[]) WITH ORDINALITY
          AS i(org_id, source, external_id, client_id, event_id, position)
        ORDER BY org_id, source, external_id, position
        ON CONFLICT (org_id, source, external_id) DO NOTHING
        RETURNING org_id, source, external_id, client_id, event_id
      )
      INSERT INTO journey_identity_log (org_id, action, source, external_id, client_id, event_id, actor)
      SELECT org_id, 'linked', source, external_id, client_id, event_id, 'journey serve' FROM linked
      """)

    static let merge = PostgresStatement(
      name: "absorb_identities",
      """
      WITH before AS MATERIALIZED (
        SELECT i.*, d.client_id AS other
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[]) AS i(org_id, source, external_id, client_id, event_id)
        LEFT JOIN journey_identities d ON d.org_id = i.org_id AND d.source = i.source AND d.external_id = i.external_id
      )
      INSERT INTO journey_identity_log (org_id, action, source, external_id, client_id, other_client_id, event_id, actor)
      SELECT b.org_id, CASE WHEN b.other IS NULL THEN 'linked' ELSE 'merged' END, b.source, b.external_id, a.id, b.other, b.event_id, 'journey serve'
      FROM before b CROSS JOIN LATERAL (SELECT journey_absorb_identity(b.org_id, b.source, b.external_id, b.client_id) AS id) a
      WHERE b.other IS DISTINCT FROM a.id
      """)
  }
}
