public import PostgresClient

/// The columns of the host's tables that the adapter reads or writes, and the types that it accepts for them.
///
/// A text column may have any text type, a numeric column any numeric type; a domain counts as its base type.
/// Statements cast these columns to text or to numbers.
public enum HostColumns {
  enum Kind: String, CaseIterable {
    case id, text, number, time, json

    /// PostgreSQL's names of the accepted types.
    var types: [String] {
      switch self {
      case .id: ["uuid"]
      case .text: ["text", "character varying", "character", "citext"]
      case .number: ["numeric", "double precision", "real", "bigint", "integer", "smallint"]
      case .time: ["timestamp with time zone"]
      case .json: ["jsonb"]
      }
    }
  }

  static let wanted: [(table: String, column: String, kind: Kind)] = [
    ("organizations", "id", .id), ("organizations", "name", .text), ("organizations", "time_zone", .text),
    ("user_organizations", "user_id", .id), ("user_organizations", "org_id", .id),
    ("contacts", "id", .id), ("contacts", "org_id", .id), ("contacts", "name", .text), ("contacts", "email", .text),
    ("contacts", "phone", .text), ("contacts", "ai_score", .number),
    ("contacts", "time_zone", .text),
    ("client_journey_events", "id", .id), ("client_journey_events", "client_id", .id),
    ("client_journey_events", "org_id", .id),
    ("client_journey_events", "stage", .text), ("client_journey_events", "event_type", .text),
    ("client_journey_events", "metadata", .json), ("client_journey_events", "occurred_at", .time),
    ("client_journey_scores", "id", .id), ("client_journey_scores", "client_id", .id),
    ("client_journey_scores", "org_id", .id),
    ("client_journey_scores", "score", .number), ("client_journey_scores", "risk_level", .text),
    ("client_journey_scores", "recommended_actions", .json), ("client_journey_scores", "generated_at", .time),
  ]

  /// The migrations that add columns which the first ones do not.
  private static let addedLater = ["organizations.time_zone": 160, "contacts.time_zone": 160]

  /// The columns that the adapter cannot work with, one text per column with its type and the accepted types.
  public static func problems(_ worker: PostgresWorker) async throws -> [String] {
    try await worker.perform { connection throws(PostgresError) in try problems(connection, after: .max) }
  }

  /// - Parameter version: the last migration that was applied. A missing column is a problem only after the one that
  ///   adds it; nil: before the migrations none is.
  static func problems(_ connection: PostgresConnection, after version: Int32?) throws(PostgresError) -> [String] {
    let result = try connection.execute(
      statement,
      PostgresParameters {
        $0.texts(wanted) { $0.table }
        $0.texts(wanted) { $0.column }
      })
    var found: [String] = []
    for row in 0..<result.rowCount {
      let (table, column, kind) = wanted[Int(try result.int64(row, 0)) - 1]
      let accepted =
        kind.types.count == 1 ? "it has to be \(kind.types[0])" : "accepted are \(kind.types.joined(separator: ", "))"
      if let type = try result.textIfPresent(row, 1) {
        guard let base = try result.textIfPresent(row, 2), !kind.types.contains(base) else { continue }
        found.append("\(table).\(column) is of type \(type); \(accepted)")
      } else if let version, version >= addedLater["\(table).\(column)"] ?? 0 {
        found.append("\(table).\(column) is missing; \(accepted)")
      }
    }
    return found
  }

  /// The type of each column, with domains resolved.
  private static let statement = PostgresStatement(
    name: "read_host_columns",
    """
    WITH RECURSIVE found AS (
      SELECT i.position, a.atttypid, a.atttypmod
      FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS i(relation, attribute, position)
      LEFT JOIN pg_catalog.pg_attribute a
        ON a.attrelid = to_regclass(i.relation) AND a.attname = i.attribute AND NOT a.attisdropped
      WHERE to_regclass(i.relation) IS NOT NULL
    ), bases AS (
      SELECT f.position, f.atttypid AS type FROM found f
      UNION ALL
      SELECT b.position, t.typbasetype FROM bases b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype = 'd'
    )
    SELECT f.position, CASE WHEN f.atttypid IS NOT NULL THEN format_type(f.atttypid, f.atttypmod) END,
      CASE WHEN t.typname = 'citext' THEN 'citext' ELSE format_type(t.oid, NULL) END
    FROM found f LEFT JOIN bases b ON b.position = f.position LEFT JOIN pg_catalog.pg_type t ON t.oid = b.type
    WHERE t.oid IS NULL OR t.typtype <> 'd'
    ORDER BY f.position
    """)
}
