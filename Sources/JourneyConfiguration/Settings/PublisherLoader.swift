import FoundationEssentials
import Journey
import Yams

/// Reads the section `publishers` of the settings file: what each user of the broker may report.
enum PublisherLoader {
  static let section = "publishers"

  /// - Returns: nil if the file has no such section.
  /// - Throws: `SettingsError` with every problem of the section, a line each.
  static func load(file: String) throws(SettingsError) -> [String: PublisherPolicy.Grant]? {
    // The caller reports a file that cannot be read.
    guard let text = YAMLDocument.text(of: file) else { return nil }
    let problems = YAMLDiagnosticList(file: file)
    guard let field = YAMLDocument.root(of: text, problems)?.members()?.first(where: { $0.key.text == section })?.field
    else { return nil }
    var grants: [String: PublisherPolicy.Grant] = [:]
    for (user, field) in field.pairs() {
      if grants.updateValue(grant(field), forKey: user) != nil { field.report("this user is listed twice") }
    }
    guard problems.problems.isEmpty else {
      throw SettingsError(problems.sorted.map(\.description).joined(separator: "\n"))
    }
    return grants
  }

  private static func grant(_ field: YAMLField) -> PublisherPolicy.Grant {
    let nothing = PublisherPolicy.Grant(sources: PublisherPolicy.SourcePatterns([]), organizations: [])
    guard let members = field.members(["backfill", "organizations", "sources"]) else { return nothing }
    guard let sources = members["sources"], let organizations = members["organizations"] else {
      field.report("sources and organizations are both needed", hint: "\"*\" stands for any")
      return nothing
    }
    return PublisherPolicy.Grant(
      sources: PublisherPolicy.SourcePatterns(sources.oneOrMany()?.compactMap { $0.text() } ?? []),
      organizations: ids(organizations), mayBackfill: members["backfill"]?.bool() ?? false)
  }

  /// - Returns: nil for `*`.
  private static func ids(_ field: YAMLField) -> Set<UUID>? {
    guard let fields = field.oneOrMany() else { return [] }
    if fields.count == 1, fields[0].node.scalar?.string == "*" { return nil }
    return Set(
      fields.compactMap { field in
        let id = field.text().flatMap { UUID(uuidString: $0) }
        if id == nil { field.report("an organization is named by its UUID", hint: "or \"*\" alone for any") }
        return id
      })
  }
}
