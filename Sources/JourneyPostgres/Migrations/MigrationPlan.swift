/// The applied and the pending migrations. It exists only if the files and the database agree.
public struct MigrationPlan: Sendable {
  public let applied: [AppliedMigration]
  public let pending: [Migration]

  /// Compares the files with the database's history.
  ///
  /// - Parameters:
  ///   - files: ordered by version.
  ///   - applied: in any order.
  /// - Throws: `MigrationError.inconsistent` if an applied file was changed or is missing, or if a pending file comes
  ///   before an applied one.
  public init(files: [Migration], applied: [AppliedMigration]) throws(MigrationError) {
    let last = applied.map(\.version).max()
    let versions = Set(files.map(\.version)).union(applied.map(\.version)).sorted()
    var rows: [HistoryRow] = []
    for version in versions {
      let file = files.first { $0.version == version }
      let memory = applied.first { $0.version == version }
      rows.append(
        HistoryRow(
          version: version, expected: file.map { "\($0.name) \($0.checksum.prefix(12))" },
          applied: memory.map { "\($0.name) \($0.checksum.prefix(12))" }, problem: Self.problem(file, memory, last)))
    }
    guard rows.allSatisfy({ $0.problem == nil }) else { throw .inconsistent(rows) }
    self.applied = applied.sorted { $0.version < $1.version }
    pending = files.filter { file in !applied.contains { $0.version == file.version } }
  }

  private static func problem(_ file: Migration?, _ memory: AppliedMigration?, _ last: Int32?) -> String? {
    switch (file, memory) {
    case (nil, _): return "applied, but the file is missing"
    case (let file?, nil):
      guard let last, file.version < last else { return nil }
      return "not applied, but version \(last) after it is"
    case (let file?, let memory?):
      if file.checksum != memory.checksum { return "the file was changed after it was applied" }
      return file.name == memory.name ? nil : "the file was renamed after it was applied"
    }
  }
}

/// A line of the report on an inconsistent history.
public struct HistoryRow: Hashable, Sendable {
  public var version: Int32
  /// The file's name and the first digits of its checksum.
  public var expected: String?
  /// The same for the row in the database.
  public var applied: String?
  /// nil if both agree, or the file is pending.
  public var problem: String?
}

/// Why migrations cannot be read or applied.
public enum MigrationError: Error, Sendable, CustomStringConvertible {
  case unreadable(path: String, reason: String)
  /// The files and the database contradict each other; nothing was applied.
  case inconsistent([HistoryRow])
  /// A file failed and was rolled back. The files before it stay applied.
  /// - Parameter line: the line in the file, from 1, if the server reports it.
  case failed(fileName: String, line: Int?, reason: String, isRetriable: Bool)
  /// Columns of the host's tables have types that the adapter does not support.
  case columns([String])
  /// The host's tables belong to another role, hide rows, or contain inconsistent rows. Nothing was applied.
  case data([String])
  /// Roles hold excess privileges that the current login cannot revoke.
  case access([String])

  public var description: String {
    switch self {
    case .unreadable(let path, let reason):
      return "\(path): \(reason)"
    case .inconsistent(let rows):
      return Self.table(rows)
    case .failed(let fileName, let line, let reason, _):
      return "migration \(fileName)\(line.map { ", line \($0)" } ?? "") failed and was rolled back: \(reason)"
    case .columns(let problems):
      return Self.list(
        "the host's tables have columns that the adapter cannot work with; change them, then migrate again", problems)
    case .data(let problems):
      return Self.list(
        "the migrations would fail on the host's tables, so nothing was changed; fix this, then migrate again",
        problems)
    case .access(let problems):
      return Self.list(
        """
        roles hold excess privileges that this login cannot revoke; have the owner or an administrator revoke them, then \
        migrate again
        """, problems)
    }
  }

  private static func list(_ head: String, _ lines: [String]) -> String {
    ([head] + lines).joined(separator: "\n  ")
  }

  private static func table(_ rows: [HistoryRow]) -> String {
    let head = ("version", "expected (files)", "applied (database)")
    let width = max(head.1.count, rows.map { $0.expected?.count ?? 1 }.max() ?? 0)
    let otherWidth = max(head.2.count, rows.map { $0.applied?.count ?? 1 }.max() ?? 0)
    func padded(_ text: String, _ width: Int) -> String {
      text + String(repeating: " ", count: max(0, width - text.count))
    }
    var lines = ["the migrations do not match the database's history; nothing was applied"]
    lines.append("  " + padded(head.0, 7) + "  " + padded(head.1, width) + "  " + head.2)
    for row in rows {
      let line = "  " + padded(String(row.version), 7) + "  " + padded(row.expected ?? "-", width) + "  "
      if let problem = row.problem {
        lines.append(line + padded(row.applied ?? "-", otherWidth) + "  <- " + problem)
      } else {
        lines.append(line + (row.applied ?? "-"))
      }
    }
    return lines.joined(separator: "\n")
  }
}
