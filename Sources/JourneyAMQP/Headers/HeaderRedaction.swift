public import AMQPClient

/// Removes headers that carry credentials. Dead letters do not need their values.
public struct HeaderRedaction: Hashable, Sendable {
  /// Each pattern in lower case, split at its asterisks.
  private let patterns: [[String]]

  /// - Parameter patterns: header names; `*` matches any text, and case is ignored.
  public init(_ patterns: [String]) {
    self.patterns = patterns.map {
      $0.lowercased().split(separator: "*", omittingEmptySubsequences: false).map(String.init)
    }
  }

  /// - Returns: the remaining headers, and the names of those removed, `outer.inner` in a nested table.
  public func apply(to table: FieldTable) -> (rest: FieldTable, redacted: [String]) {
    guard !patterns.isEmpty else { return (table, []) }
    var redacted: [String] = []
    let rest = rest(of: table, within: "", &redacted)
    return (rest, redacted)
  }

  private func rest(of table: FieldTable, within path: String, _ redacted: inout [String]) -> FieldTable {
    var fields: [FieldTable.Field] = []
    for field in table.fields {
      if matches(field.name) {
        redacted.append(path + field.name)
      } else {
        fields.append(.init(field.name, rest(of: field.value, within: path + field.name + ".", &redacted)))
      }
    }
    return FieldTable(fields)
  }

  private func rest(of value: FieldValue, within path: String, _ redacted: inout [String]) -> FieldValue {
    switch value {
    case .table(let table): return .table(rest(of: table, within: path, &redacted))
    case .array(let values):
      var all: [FieldValue] = []
      for value in values { all.append(rest(of: value, within: path, &redacted)) }
      return .array(all)
    default: return value
    }
  }

  func matches(_ name: String) -> Bool {
    let name = name.lowercased()
    return patterns.contains { Self.matches(name, $0) }
  }

  /// - Parameter pieces: the name must start with the first piece, end with the last one, and contain the others
  ///   between them in order.
  private static func matches(_ name: String, _ pieces: [String]) -> Bool {
    guard pieces.count > 1 else { return name == pieces.first }
    guard name.hasPrefix(pieces[0]) else { return false }
    var rest = name.dropFirst(pieces[0].count)
    for piece in pieces[1..<(pieces.count - 1)] where !piece.isEmpty {
      guard let range = rest.firstRange(of: piece) else { return false }
      rest = rest[range.upperBound...]
    }
    return rest.hasSuffix(pieces[pieces.count - 1])
  }
}
