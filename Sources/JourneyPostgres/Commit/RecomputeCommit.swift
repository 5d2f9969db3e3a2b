import FoundationEssentials
import Journey
import PostgresClient

/// A client to recompute.
struct RecomputeClient: Sendable {
  var id: UUID
  var orgID: UUID
  var hasState: Bool
}

/// The result of recomputing some clients.
struct RecomputeResult: Sendable {
  /// How many have a different outcome: stage, score, level or risks.
  var changed = 0
  /// How many have the same outcome, but had an outdated state.
  var refreshed = 0
  var actions = 0
  /// Clients that another transaction holds. They were not changed.
  var held: [RecomputeClient] = []
}

/// Recomputes the states of clients from their stored events under the current rules, in one transaction.
///
/// It skips rows that another transaction holds, and does not wait for locks.
extension BatchCommit {
  func recompute(_ clients: [RecomputeClient], publishes: Bool, isRehearsal: Bool) throws(PostgresError)
    -> RecomputeResult
  {
    let clientsWithoutState = clients.filter { !$0.hasState }
    let ids = PostgresParameters { $0.uuids(clients) { $0.id } }
    var commands: [(PostgresStatement, PostgresParameters)] = [(.begin, PostgresParameters())]
    if !clientsWithoutState.isEmpty {
      let parameters = PostgresParameters {
        $0.uuids(clientsWithoutState) { $0.id }
        $0.uuids(Array(Set(clientsWithoutState.map(\.orgID))))
      }
      commands.append((CommitStatements.addFreeStates, parameters))
    }
    commands += [(RecomputeStatements.lock, ids), (RecomputeStatements.existing, ids)]
    let answers = try connection.pipeline(commands)
    let found = answers[answers.count - 2], existing = answers[answers.count - 1]
    var locked: [UUID: (client: LockedClient, stored: StoredState)] = [:]
    for row in 0..<found.rowCount {
      let client = try LockedClient(found, row, from: StoredState.columnCount + 1).moved(by: clockOffset)
      locked[try found.uuid(row, 0)] = (client, try StoredState(found, row, from: 1))
    }
    var result = RecomputeResult()
    let there = Set(try (0..<existing.rowCount).map { row throws(PostgresError) in try existing.uuid(row, 0) })
    let unheld = locked.isEmpty ? [] : try lockOrganizations(locked.values.map(\.client.orgID))
    for client in clients where there.contains(client.id) {
      if let orgID = locked[client.id]?.client.orgID, unheld.contains(orgID) { continue }
      result.held.append(client)
      locked[client.id] = nil
    }
    let writes = try remake(locked, publishes: publishes, &result)
    if isRehearsal {
      try connection.rollback()
    } else {
      _ = try connection.pipeline(writes + [(.commit, PostgresParameters())])
    }
    return result
  }

  /// - Returns: the statements that write the new states.
  func remake(
    _ locked: [UUID: (client: LockedClient, stored: StoredState)], publishes: Bool, _ result: inout RecomputeResult
  ) throws(PostgresError) -> [(PostgresStatement, PostgresParameters)] {
    var clientBatches = locked.map { id, found in
      ClientBatch((found.client.snapshot(id: id, under: decider.fingerprint).client, isUnread: true))
    }
    clientBatches.sort { $0.client.id.precedesByBytes($1.client.id) }
    try addWhatIsStored(to: clientBatches, [])
    var random = IDRandom()
    var writes = BatchWrites(
      decider: decider, instance: instance, random: IDRandom(), at: clock.now(), clients: clientBatches.count,
      events: clientBatches.count)
    var empty: [UUID] = []
    for clientBatch in clientBatches {
      let client = clientBatch.client
      guard let (before, stored) = locked[client.id] else { continue }
      guard client.summary.lastEventAt != nil else {
        let isKnown = before.summary == emptySummary
        if stored.score != nil { result.changed += 1 } else if !isKnown { result.refreshed += 1 }
        if stored.score != nil || !isKnown { empty.append(client.id) }
        continue
      }
      var remade = client
      let evaluation = decider.recompute(&remade, publishes: publishes, random: &random)
      if !stored.hasOutcome(of: evaluation.assessment) {
        result.changed += 1
        writes.add(remade, [evaluation])
        continue
      }
      // Without what it would have published, which is left to the sweep.
      var kept = client
      let unchanged = decider.recompute(&kept, publishes: false, random: &random)
      if kept.summary.encoded(under: decider.fingerprint) != before.summary
        || !stored.isUpToDate(unchanged.assessment, at: before.now)
      {
        result.refreshed += 1
        writes.add(unscored: kept, unchanged)
      }
    }
    result.actions = writes.messages.count
    return writes.commands(published: []) + clearing(empty)
  }
}

enum RecomputeStatements {
  /// The next $3 clients from id $1 on, without $4, of the organisations $2 (empty: all): clients with a state or with
  /// events.
  static let page = PostgresStatement(
    name: "page_of_clients",
    """
    SELECT c.id, c.org_id, s.client_id IS NOT NULL
    FROM contacts c LEFT JOIN journey_client_state s ON s.client_id = c.id
    WHERE c.id >= $1::uuid AND c.id <> ALL($4::uuid[]) AND (cardinality($2::uuid[]) = 0 OR c.org_id = ANY($2::uuid[]))
      AND s.merged_into IS NULL
      AND (s.client_id IS NOT NULL OR EXISTS (SELECT FROM client_journey_events e WHERE e.client_id = c.id))
    ORDER BY c.id LIMIT $3::int4
    """)

  static let lock = PostgresStatement(
    name: "lock_to_recompute",
    """
    SELECT s.client_id, \(StoredState.columns), \(LockedClient.columns)
    FROM journey_client_state s JOIN contacts c ON c.id = s.client_id
    WHERE s.client_id = ANY($1::uuid[]) AND s.merged_into IS NULL
    FOR UPDATE OF s SKIP LOCKED FOR KEY SHARE OF c SKIP LOCKED
    """)

  /// The clients that still exist and were not merged into another one.
  static let existing = PostgresStatement(
    name: "existing_clients",
    """
    SELECT c.id FROM contacts c LEFT JOIN journey_client_state s ON s.client_id = c.id
    WHERE c.id = ANY($1::uuid[]) AND s.merged_into IS NULL
    """)
}
