import FoundationEssentials
import Journey
import PostgresClient

enum ExpectationStatements {
  static let find = PostgresStatement(
    name: "find_expectations",
    """
    SELECT x.client_id, x.rule, x.key, \(ExpectationState.columns)
    FROM unnest($1::uuid[], $2::text[], $3::text[]) AS i(client_id, rule, key)
    JOIN journey_expectations x ON x.client_id = i.client_id AND x.rule = i.rule AND x.key = i.key
    """)

  /// The rows of clients that are locked.
  static let write = PostgresStatement(
    name: "write_expectations",
    """
    INSERT INTO journey_expectations (client_id, org_id, rule, key, openings, settled_at, fired_for, opened_at, due_at, check_at)
    SELECT client_id, org_id, rule, key, openings::timestamptz[], settled_at, fired_for, opened_at, due_at, check_at
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
      $8::timestamptz[], $9::timestamptz[], $10::timestamptz[])
      AS i(client_id, org_id, rule, key, openings, settled_at, fired_for, opened_at, due_at, check_at)
    ON CONFLICT (client_id, rule, key) DO UPDATE
    SET openings = EXCLUDED.openings, settled_at = EXCLUDED.settled_at, fired_for = EXCLUDED.fired_for,
      opened_at = EXCLUDED.opened_at, due_at = EXCLUDED.due_at, check_at = EXCLUDED.check_at
    """)

  private static let eventColumns = """
    e.client_id, e.source, COALESCE(e.source_event_id, e.id::text), \(HostValues.text("e.event_type")), e.occurred_at,
      e.metadata, e.voided_at IS NOT NULL
    """

  /// The events of the clients $1 of the types $2 from the time $3 on. What the adapter stored because nothing came
  /// counts even if it was voided.
  static let events = PostgresStatement(
    name: "events_of_expectations",
    """
    SELECT \(eventColumns) FROM client_journey_events e
    WHERE e.client_id = ANY($1::uuid[]) AND \(HostValues.text("e.event_type")) = ANY($2::text[])
      AND e.occurred_at BETWEEN GREATEST($3::timestamptz, '0001-01-01') AND '9999-12-31'
      AND (e.voided_at IS NULL OR e.source = '\(SilenceContract.source)')
    ORDER BY e.occurred_at
    """)

  static func events(of clients: [UUID], _ reader: ExpectationReader, at now: Timestamp) -> PostgresParameters {
    let longest = reader.contracts.values.map(\.within).max() ?? .seconds(0)
    return PostgresParameters {
      $0.uuids(clients)
      $0.texts(reader.types)
      $0.timestamptz((now - longest - SilenceContract.memory).microseconds)
    }
  }

  static func event(
    _ found: PostgresResult, _ row: Int, of client: ClientSnapshot
  ) throws(PostgresError) -> (JourneyEvent, isVoided: Bool) {
    (try event(found, row, orgID: client.orgID, clientID: client.id), try found.bool(row, 6))
  }

  static func event(
    _ found: PostgresResult, _ row: Int, orgID: UUID, clientID: UUID
  ) throws(PostgresError) -> JourneyEvent {
    JourneyEvent(
      orgID: orgID, source: try found.textIfPresent(row, 1) ?? "", sourceEventID: try found.text(row, 2),
      client: ClientReference(id: clientID), type: try found.text(row, 3), stage: nil,
      occurredAt: Timestamp(microseconds: try found.timestamp(row, 4)),
      metadata: try found.jsonIfPresent(row, 5) ?? Array("{}".utf8))
  }

  /// An instance with other contracts may run beside this one: their rows stay.
  static let remove = PostgresStatement(
    name: "remove_expectations",
    "DELETE FROM journey_expectations WHERE client_id = ANY($1::uuid[]) AND rule = ANY($2::text[])")

  static func removal(of clients: [UUID], _ reader: ExpectationReader) -> PostgresParameters {
    PostgresParameters {
      $0.uuids(clients)
      $0.texts(reader.contracts.keys.sorted())
    }
  }

  // MARK: As time passes

  private static let now = "(clock_timestamp() + $1::int8 * interval '1 microsecond')"
  /// `clock_timestamp()` changes during a statement, so it cannot bound an index scan.
  private static let isDue = "check_at <= now() + $1::int8 * interval '1 microsecond'"
  private static let memory = "interval '\(SilenceContract.memory.microseconds / 1_000_000) seconds'"

  /// Forgets up to $2 rows that say nothing any more, or that no instance has a contract for.
  static let forget = PostgresStatement(
    name: "forget_expectations",
    """
    DELETE FROM journey_expectations WHERE (client_id, rule, key) IN (
      SELECT client_id, rule, key FROM journey_expectations
      WHERE \(isDue) AND (due_at IS NULL OR due_at < now() + $1::int8 * interval '1 microsecond' - \(memory))
      ORDER BY check_at LIMIT $2::int4 FOR UPDATE SKIP LOCKED)
    """)

  /// Claims up to $2 due rows for a minute, so that another instance leaves them alone. Those without a contract among
  /// $3, or of the organisations $4, are looked at again in ten minutes.
  static let claim = PostgresStatement(
    name: "claim_expectations",
    """
    UPDATE journey_expectations x
    SET check_at = \(now) + CASE WHEN x.rule = ANY($3::text[]) AND x.org_id <> ALL($4::uuid[])
      THEN interval '1 minute' ELSE interval '10 minutes' END
    WHERE (x.client_id, x.rule, x.key) IN (
      SELECT client_id, rule, key FROM journey_expectations WHERE \(isDue) AND due_at IS NOT NULL
      ORDER BY check_at LIMIT $2::int4 FOR UPDATE SKIP LOCKED)
    RETURNING x.client_id, x.org_id, x.rule, x.key, \(ExpectationState.columns),
      x.rule = ANY($3::text[]) AND x.org_id <> ALL($4::uuid[]), \(now)
    """)

  static func claim(
    at offset: TimeSpan, limit: Int, _ contracts: [String], besides organizations: [UUID]
  ) -> PostgresParameters {
    PostgresParameters {
      $0.int8(offset.microseconds)
      $0.int4(Int32(limit))
      $0.texts(contracts)
      $0.uuids(organizations)
    }
  }

  /// The events of clients at instants, by position.
  static let openings = PostgresStatement(
    name: "openings_of_expectations",
    """
    SELECT \(eventColumns), i.position::int8, e.id
    FROM unnest($1::uuid[], $2::timestamptz[]) WITH ORDINALITY AS i(client_id, at, position)
    JOIN client_journey_events e ON e.client_id = i.client_id AND e.occurred_at = i.at AND e.voided_at IS NULL
    ORDER BY i.position, e.source_event_id, e.source
    """)

  /// Corrects when rows are looked at, unless a commit has changed them meanwhile.
  static let reschedule = PostgresStatement(
    name: "reschedule_expectations",
    """
    UPDATE journey_expectations x SET opened_at = i.opened_at, due_at = i.due_at, check_at = i.check_at
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[],
      $8::timestamptz[], $9::timestamptz[])
      AS i(client_id, rule, key, openings, settled_at, fired_for, opened_at, due_at, check_at)
    WHERE x.client_id = i.client_id AND x.rule = i.rule AND x.key = i.key AND x.openings = i.openings::timestamptz[]
      AND x.settled_at IS NOT DISTINCT FROM i.settled_at AND x.fired_for IS NOT DISTINCT FROM i.fired_for
    """)
}
