import Journey

/// SQL expressions that read columns that the host application or its members may have written. They accept the types
/// of `HostColumns`, and replace values that JSON or Swift cannot represent.
enum HostValues {
  private static let first = "'0001-01-01 00:00:00+00'"
  private static let last = "'9999-12-31 23:59:59.999999+00'"

  /// Text of any text type, without the padding of `character(n)`; keeps the case of `citext`.
  static func text(_ column: String) -> String { "\(column)::text" }

  /// Whether a time is finite and in the years 1 to 9999.
  static func isTime(_ column: String) -> String { "\(column) BETWEEN \(first) AND \(last)" }

  /// A time; NULL outside the years 1 to 9999.
  static func time(_ column: String) -> String { "CASE WHEN \(isTime(column)) THEN \(column) END" }

  /// A time that is never NULL: clamped to the years 1 to 9999, the earliest for NULL.
  static func moment(_ column: String) -> String { "LEAST(GREATEST(\(column), \(first)), \(last))" }

  /// A number; NULL if it is not finite or beyond ±1e15.
  static func number(_ column: String) -> String { "CASE WHEN \(column) BETWEEN -1e15 AND 1e15 THEN \(column) END" }

  /// The same as a double. Values too small for a double, which the server refuses to convert, become 0.
  static func double(_ column: String) -> String {
    """
    CASE WHEN \(column) BETWEEN -1e-9 AND 1e-9 THEN 0 WHEN \(column) BETWEEN -1e15 AND 1e15 THEN \(column)::float8 END
    """
  }

  /// A JSON object. Any other JSON value becomes its only member.
  static func object(_ column: String) -> String {
    """
    CASE WHEN \(column) IS NULL THEN '{}' WHEN jsonb_typeof(\(column)) = 'object' THEN \(column)
      ELSE jsonb_build_object('value', \(column)) END
    """
  }

  /// A JSON array of actions. Unknown actions are left out.
  static func actions(_ column: String) -> String {
    let known = ActionKind.allCases.map { "@ == \"\($0.rawValue)\"" }.joined(separator: " || ")
    return "jsonb_path_query_array(COALESCE(\(column), '[]'), '$[*] ? (\(known))')"
  }
}
