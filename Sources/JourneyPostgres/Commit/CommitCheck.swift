import FoundationEssentials
public import Journey
public import PostgresClient

/// Checks whether commits would work, without an event: it executes every statement of the commit, the history and the
/// outbox with empty input, in one transaction that is rolled back.
///
/// It finds missing objects, wrong types, missing privileges, read-only databases and statement triggers that fail. It
/// cannot find row triggers that fail.
public enum CommitCheck {
  /// - Parameters:
  ///   - worker: works as the role that commits.
  ///   - keepsRawBodies: whether commits keep the messages as they came.
  /// - Returns: the problem as text for the operator; nil if there is none.
  /// - Throws: `PostgresError` if the check itself could not run.
  public static func problem(
    _ worker: PostgresWorker, signals: SignalRules, keepsRawBodies: Bool
  ) async throws -> String? {
    do {
      try await worker.perform { connection in
        try run(on: connection, SummaryRebuild(signals: signals), keepsRawBodies: keepsRawBodies)
      }
      return nil
    } catch let error as PostgresError
      where error.kind == .permanent && !error.isOfConnecting || error.kind == .poison || error.kind == .decoding
    {
      return "\(error.operation): \(error.message)" + (error.sqlState.map { " (SQLSTATE \($0))" } ?? "")
    }
  }

  /// - Throws: the error of the first statement that fails.
  static func run(
    on connection: PostgresConnection, _ history: SummaryRebuild, keepsRawBodies: Bool
  ) throws(PostgresError) {
    let commands = commands(history, keepsRawBodies: keepsRawBodies)
    let answers = try connection.pipeline(
      [(.begin, PostgresParameters())] + commands + [(hidden, PostgresParameters())])
    try connection.rollback()
    if try answers[answers.count - 1].bool(0, 0) {
      throw PostgresError(
        .permanent, operation: hidden.name,
        "organizations has FORCE ROW LEVEL SECURITY, and the owner of journey_lock_organizations sees none of its rows: give that owner a policy for SELECT and UPDATE"
      )
    }
    for (answer, (statement, _)) in zip(answers.dropFirst(), commands) {
      guard let column = answer.unreadableColumn else { continue }
      throw PostgresError(
        .permanent, operation: statement.name, "the column \(column) is of a type that the adapter does not read")
    }
  }

  /// If row level security hides the organisations from the function's owner, no organisation can be locked, and every
  /// event would wait forever.
  private static let hidden = PostgresStatement(
    name: "find_hidden_organizations",
    """
    SELECT (SELECT relforcerowsecurity FROM pg_class WHERE oid = 'organizations'::regclass)
      AND EXISTS (SELECT FROM organizations)
      AND NOT EXISTS (SELECT FROM journey_lock_organizations(ARRAY(SELECT id FROM organizations LIMIT 20)))
    """)

  /// Every statement, with empty parameters of the types that the commit uses.
  static func commands(
    _ history: SummaryRebuild, keepsRawBodies: Bool
  ) -> [(PostgresStatement, PostgresParameters)] {
    let references = PostgresParameters { $0.empty([.uuid, .text, .uuid, .text]) }
    let links = PostgresParameters { $0.empty([.uuid, .text, .text, .uuid]) }
    let texts = PostgresParameters { $0.empty([.uuid, .text, .text, .text, .text]) }
    let things = PostgresParameters { $0.empty([.uuid, .text, .text, .uuid, .text, .uuid]) }
    let merges = PostgresParameters { $0.empty([.uuid, .text, .text, .uuid, .text]) }
    let keys = PostgresParameters { $0.empty([.uuid, .text, .text]) }
    let ids = PostgresParameters { $0.empty([.uuid]) }
    let pairs = PostgresParameters { $0.empty([.uuid, .uuid]) }
    let outbox = UUID()
    let group = GroupKey(orgID: outbox, source: "", groupID: "")
    return (keepsRawBodies ? [RawBatch.empty] : []) + [
      CommitStatements.limitWait(.seconds(1)),
      (ClientStatements.findLinked, keys),
      (ClientStatements.lockKnown, PostgresParameters { $0.empty([.uuid, .uuid, .uuid, .text, .text]) }),
      (ClientStatements.findAndLock, references), (ClientStatements.find, references), (ClientStatements.claim, links),
      (ClientStatements.create, PostgresParameters { $0.empty([.uuid, .uuid, .text, .text, .text, .bool]) }),
      (IdentityChanges.Statements.lockOthers, keys), (IdentityChanges.Statements.linkByAlias, texts),
      (IdentityChanges.Statements.find, texts),
      (IdentityChanges.Statements.link, things), (IdentityChanges.Statements.addMerged, things),
      (IdentityChanges.Statements.merge, merges), (CommitStatements.addStates, pairs),
      (CommitStatements.addFreeStates, pairs), (CommitStatements.lockClients, ids), (CommitStatements.findStored, keys),
      (history.newest, ids),
      (history.invoices, ids),
      (InvoiceUpdates.merge, PostgresParameters { $0.empty([.uuid, .uuid, .text, .timestamp, .timestamp]) }),
      (InvoiceUpdates.late, InvoiceUpdates.lateParameters([])),
      (ExpectationStatements.find, keys),
      (
        ExpectationStatements.events,
        PostgresParameters {
          $0.empty([.uuid, .text])
          $0.timestamptz(0)
        }
      ),
      (ExpectationStatements.remove, PostgresParameters { $0.empty([.uuid, .text]) }),
      (ExpectationStatements.write, ExpectationUpdates().parameters()),
      (FeedStatements.list, PostgresParameters { $0.uuid(outbox) }),
      (
        FeedStatements.hear,
        PostgresParameters {
          $0.int8(0)
          $0.empty([.uuid, .text])
        }
      ), (FeedStatements.frozen, PostgresParameters()),
      (CommitStatements.insertEvents, EventColumns(rows: 0).parameters), (CommitStatements.requireOrigins, pairs),
      (CommitStatements.insertScores, BatchWrites.noScores), (CommitStatements.updateStates, BatchWrites.noStates),
      (CommitStatements.updateStatesAlone, BatchWrites.noStatesAlone),
      (
        CommitStatements.insertOutbox,
        PostgresParameters {
          $0.uuid(outbox)
          $0.int4(1)
          $0.int4(0)
        }
      ),
      (DueStatements.lock, DueStatements.parameters(PassedOver(), at: .seconds(0), limit: 0)),
      (DueStatements.first, DueStatements.parameters(PassedOver(), at: .seconds(0), limit: 0)),
      (DueStatements.postpone, DueStatements.postponement(of: outbox, at: .seconds(0))),
      (StateStatements.lockOrganizations, ids), (DueStatements.moveOn, ids),
      (StateStatements.clear, PostgresParameters { $0.empty([.uuid, .bytes]) }),
      (CommitStatements.markPublished, ids), (OutboxStatements.actions, ids), (OutboxStatements.deleteEmpty, ids),
      (GroupStatements.findKnown, references), (GroupStatements.findTargets, keys), (GroupStatements.join, links),
      (GroupStatements.add, keys), (GroupStatements.lock, keys),
      (
        GroupStatements.keep,
        PostgresParameters {
          $0.empty([.uuid, .text, .text, .text, .uuid, .text, .text, .timestamp, .json, .json, .text, .text])
          $0.bool(true)
          $0.empty([.bool])
        }
      ),
      (GroupStatements.due, PostgresParameters()), (GroupStatements.kept, group.parameters { $0.int8(0) }),
      (GroupStatements.lockOne, group.parameters()), (GroupStatements.removeDelivered, group.parameters()),
      (GroupStatements.settle, group.parameters { $0.int8(0) }),
      (GroupStatements.postpone, group.parameters { $0.int8(0) }),
      (OutboxStatements.forget, PostgresParameters { $0.int4(0) }),
      (
        RawStatements.forget,
        PostgresParameters {
          $0.int4(0)
          $0.int4(0)
          $0.int8(0)
        }
      ),
      (OutboxStatements.setAside, PostgresParameters { $0.empty([.uuid, .uuid, .text, .bool]) }),
      (
        OutboxStatements.release,
        PostgresParameters {
          $0.uuid(UUID())
          $0.uuids([UUID]())
          $0.int4(0)
          $0.uuid(UUID())
          $0.text("")
          $0.uuids([UUID]())
          $0.uuids([UUID]())
          $0.int8s([Int64]()) { $0 }
          $0.bool(false)
        }
      ),
      (ActionStatements.close, ActionChangeColumns().parameters),
      (ActionStatements.find, PostgresParameters { $0.empty([.uuid]) }),
      (ActionStatements.lives, PostgresParameters { $0.empty([.uuid]) }),
      (ActionStatements.writeHistories, PostgresParameters { $0.empty([.uuid, .bytes, .bool]) }),
      (RevocationStatements.mark, PostgresParameters { $0.empty([.uuid]) }),
      (RevocationStatements.leaveOut, PostgresParameters { $0.empty([.uuid, .uuid]) }),
      (
        ExpectationStatements.forget,
        PostgresParameters {
          $0.int8(0)
          $0.int4(0)
        }
      ),
      (
        ExpectationStatements.claim, ExpectationStatements.claim(at: .seconds(0), limit: 0, [], besides: [])
      ),
      (ExpectationStatements.openings, PostgresParameters { $0.empty([.uuid, .timestamp]) }),
      (
        ExpectationStatements.reschedule,
        PostgresParameters { $0.empty([.uuid, .text, .text, .text] + Array(repeating: .timestamp, count: 5)) }
      ),
      // Last, because it briefly locks the rows that it reads.
      (
        OutboxStatements.claim,
        PostgresParameters {
          $0.int4(0)
          $0.int4(InstanceLock.keyClass)
          $0.int4(0)
          $0.uuids([UUID]())
        }
      ),
    ]
  }
}

extension PostgresParameters {
  fileprivate enum Element {
    case uuid, text, bytes, timestamp, bool, json
  }

  fileprivate mutating func empty(_ arrays: [Element]) {
    for array in arrays {
      switch array {
      case .uuid: uuids([UUID]())
      case .text: texts([String]())
      case .bytes: byteas([[UInt8]]())
      case .timestamp: timestamptzs([Int64]()) { $0 }
      case .bool: bools([Bool]())
      case .json: jsonbs([[UInt8]]()) { $0 }
      }
    }
  }
}
