import Crypto
import FoundationEssentials

/// One step of the schema: a file `NNN_name.sql`. It is applied once, and never changed afterwards.
public struct Migration: Hashable, Sendable {
  /// The number at the start of the file's name. Files are applied in this order.
  public let version: Int32
  /// The part of the file's name between the number and `.sql`.
  public let name: String
  public let sql: String
  /// SHA-256 of the file's bytes, in lower-case hexadecimal digits.
  public let checksum: String

  public init(version: Int32, name: String, sql: String) {
    self.version = version
    self.name = name
    self.sql = sql
    checksum = SHA256.hash(data: Array(sql.utf8)).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  /// The migrations of a directory, ordered by version. Files that do not end in `.sql` are ignored.
  ///
  /// - Throws: `MigrationError` if the directory or a file cannot be read, a name is not `NNN_name.sql`, or two files
  ///   have the same version.
  public static func load(directory: String) throws(MigrationError) -> [Migration] {
    let files: [String]
    do {
      files = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".sql") }.sorted()
    } catch {
      throw .unreadable(path: directory, reason: "the directory cannot be listed")
    }
    var found: [Migration] = []
    for file in files {
      let path = directory.hasSuffix("/") ? directory + file : directory + "/" + file
      guard let (version, name) = parse(fileName: file) else {
        throw .unreadable(path: path, reason: "a migration is named NNN_name.sql, with at least three digits")
      }
      guard let data = FileManager.default.contents(atPath: path), let sql = String(validating: data, as: UTF8.self)
      else {
        throw .unreadable(path: path, reason: "the file cannot be read as UTF-8")
      }
      if let twin = found.first(where: { $0.version == version }) {
        throw .unreadable(path: path, reason: "version \(version) is taken by \(twin.fileName)")
      }
      found.append(Migration(version: version, name: name, sql: sql))
    }
    guard !found.isEmpty else { throw .unreadable(path: directory, reason: "there are no migrations here") }
    return found.sorted { $0.version < $1.version }
  }

  /// `100_platform.sql` -> (100, `platform`).
  private static func parse(fileName: String) -> (Int32, String)? {
    let stem = fileName.dropLast(4)
    let digits = stem.prefix { $0.isASCII && $0.isNumber }
    let name = stem.dropFirst(digits.count + 1)
    guard digits.count >= 3, let version = Int32(digits), stem.dropFirst(digits.count).first == "_", !name.isEmpty
    else { return nil }
    return (version, String(name))
  }

  /// The file's name.
  public var fileName: String {
    let digits = String(version)
    return String(repeating: "0", count: max(0, 3 - digits.count)) + digits + "_\(name).sql"
  }
}

/// A row of `journey_migrations`.
public struct AppliedMigration: Hashable, Sendable {
  public var version: Int32
  public var name: String
  /// SHA-256 of the file when it was applied, in lower-case hexadecimal digits.
  public var checksum: String
  /// Microseconds since 1970-01-01T00:00:00Z.
  public var appliedAt: Int64
  /// The database role that applied it.
  public var appliedBy: String
  public var durationMilliseconds: Int32

  public init(
    version: Int32, name: String, checksum: String, appliedAt: Int64, appliedBy: String, durationMilliseconds: Int32
  ) {
    self.version = version
    self.name = name
    self.checksum = checksum
    self.appliedAt = appliedAt
    self.appliedBy = appliedBy
    self.durationMilliseconds = durationMilliseconds
  }
}
