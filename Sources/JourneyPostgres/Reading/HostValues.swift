import Journey

/// Columns that the host application or its members may have written, as statements read them: of the types that
/// `HostColumns` accepts, with values that PostgreSQL knows and nobody else does.
enum HostValues {
  private static let first = "'0001-01-01 00:00:00+00'"
  private static let last = "'9999-12-31 23:59:59.999999+00'"

  /// Text of any type: without the blanks of `character(n)`, with the case of `citext`.
  static func text(_ column: String) -> String { "\(column)::text" }

  /// Whether a time is one that a calendar of the world has: not none, not infinite, in the years 1 to 9999.
  static func isTime(_ column: String) -> String { "\(column) BETWEEN \(first) AND \(last)" }

  /// A time, NULL where it is none in the years 1 to 9999.
  static func time(_ column: String) -> String { "CASE WHEN \(isTime(column)) THEN \(column) END" }

  /// A time that has to be one: the nearest in the years 1 to 9999, the first where it is NULL.
  static func moment(_ column: String) -> String { "LEAST(GREATEST(\(column), \(first)), \(last))" }

  /// A number, NULL where it is none, infinite, or beyond what a double counts in steps of one.
  static func number(_ column: String) -> String { "CASE WHEN \(column) BETWEEN -1e15 AND 1e15 THEN \(column) END" }

  /// The same as a double. One that is too small for a double, which the server refuses to make one of, is 0.
  static func double(_ column: String) -> String {
    """
    CASE WHEN \(column) BETWEEN -1e-9 AND 1e-9 THEN 0 WHEN \(column) BETWEEN -1e15 AND 1e15 THEN \(column)::float8 END
    """
  }

  /// A JSON object; what is another JSON value is its only member.
  static func object(_ column: String) -> String {
    """
    CASE WHEN \(column) IS NULL THEN '{}' WHEN jsonb_typeof(\(column)) = 'object' THEN \(column)
      ELSE jsonb_build_object('value', \(column)) END
    """
  }

  /// A JSON array of actions; what is none of them is left out.
  static func actions(_ column: String) -> String {
    let known = ActionKind.allCases.map { "@ == \"\($0.rawValue)\"" }.joined(separator: " || ")
    return "jsonb_path_query_array(COALESCE(\(column), '[]'), '$[*] ? (\(known))')"
  }
}
