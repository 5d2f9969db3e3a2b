public import FoundationEssentials
import Journey
import Yams

/// Reads the table of tenants, which assigns vendors' accounts to organisations.
public enum TenantLoader {
  /// - Parameter file: YAML with the organisation's UUID, by source and the vendor's id of the account; `*` is any
  ///   account.
  /// - Throws: `MappingLoadError` with all problems of the file.
  public static func load(file: String) throws(MappingLoadError) -> [String: [String: UUID]] {
    let text = try MappingLoader.text(of: file)
    let problems = YAMLDiagnosticList(file: file)
    var tenants: [String: [String: UUID]] = [:]
    for (source, accounts) in YAMLDocument.root(of: text, problems)?.members() ?? [] {
      for (account, field) in accounts.members() ?? [] {
        guard let id = field.node.scalar.flatMap({ UUID(uuidString: $0.string) }) else {
          field.report("an organisation is named by its UUID")
          continue
        }
        tenants[source.text, default: [:]][account.text] = id
      }
    }
    guard problems.problems.isEmpty else { throw MappingLoadError(problems: problems.sorted) }
    return tenants
  }
}
