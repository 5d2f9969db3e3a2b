public import FoundationEssentials
public import Journey
public import PostgresClient

/// Makes recorded decisions again and compares. Reads only, a page at a time, in the order in which they were made.
public struct DecisionVerification: Sendable {
  public struct Difference: Sendable {
    public var decision: UUID
    public var clientID: UUID
    /// The members of the explanation that come out otherwise; empty: the record cannot be read.
    public var members: [String]
  }
  public struct Progress: Sendable {
    /// Without those of other rules.
    public var verified = 0
    public var same = 0
    public var differing = 0
    public var unreadable = 0
    /// Decisions of other rules, by their version.
    public var otherRules: [String: Int] = [:]
    /// The first of those that differ or cannot be read, at most `maxDifferences`.
    public var differences: [Difference] = []
    /// Continue after this one; nil: start with the first one.
    public var after: UUID?
    public var isComplete = false
  }

  public static let maxDifferences = 100

  public var rules: DecisionRules
  public var since: Timestamp?
  public var orgID: UUID?
  public var after: UUID?
  /// Decisions a page.
  public var limit = 1000

  public init(rules: DecisionRules) { self.rules = rules }

  /// - Parameters:
  ///   - worker: works as the adapter's role.
  ///   - report: called after each page.
  /// - Returns: the progress, also if the task was cancelled.
  public func run(on worker: PostgresWorker, report: (Progress) -> Void = { _ in }) async throws -> Progress {
    let verifier = DecisionVerifier(rules: rules)
    var progress = Progress()
    // An id begins with its time.
    progress.after = after ?? since.map { UUID.v7Floor(at: $0) }
    while !Task.isCancelled {
      let parameters = PostgresParameters {
        $0.uuid(progress.after)
        $0.uuid(orgID)
        $0.int4(Int32(limit))
      }
      let decisions = try await worker.perform { connection in
        let found = try connection.execute(Self.page, parameters)
        return try (0..<found.rowCount).map { row throws(PostgresError) in
          let explanation = try found.jsonIfPresent(row, 3) ?? []
          return (
            id: try found.uuid(row, 0), client: try found.uuid(row, 1), input: try found.bytes(row, 2),
            explanation: explanation
          )
        }
      }
      for decision in decisions {
        progress.add(verifier.verify(decision.input, decision.explanation), decision.id, decision.client)
      }
      progress.after = decisions.last?.id ?? progress.after
      report(progress)
      if decisions.count < limit {
        progress.isComplete = true
        break
      }
    }
    return progress
  }

  private static let page = PostgresStatement(
    name: "recorded_decisions",
    """
    SELECT s.id, s.client_id, s.inputs, s.explanation FROM client_journey_scores s
    WHERE s.id > COALESCE($1::uuid, '00000000-0000-0000-0000-000000000000') AND s.inputs IS NOT NULL
      AND ($2::uuid IS NULL OR s.org_id = $2::uuid)
    ORDER BY s.id LIMIT $3::int4
    """)
}

extension DecisionVerification.Progress {
  mutating func add(_ finding: DecisionVerifier.Finding, _ decision: UUID, _ client: UUID) {
    if case .otherRules = finding {} else { verified += 1 }
    func differs(_ members: [String]) {
      guard differences.count < DecisionVerification.maxDifferences else { return }
      differences.append(
        DecisionVerification.Difference(decision: decision, clientID: client, members: members))
    }
    switch finding {
    case .same: same += 1
    case .otherRules(let version): otherRules[version, default: 0] += 1
    case .differs(let members):
      differing += 1
      differs(members)
    case .unreadable:
      unreadable += 1
      differs([])
    }
  }
}

extension UUID {
  /// The least id of version 7 of a millisecond.
  fileprivate static func v7Floor(at time: Timestamp) -> UUID {
    let milliseconds = UInt64(max(0, time.microseconds / 1000))
    func byte(_ shift: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: milliseconds >> shift) }
    return UUID(
      uuid: (byte(40), byte(32), byte(24), byte(16), byte(8), byte(0), 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0))
  }
}
