public import FoundationEssentials
import Journey
import Yams

/// Reads the table of tenants: which organisation a vendor's account belongs to.
public enum TenantLoader {
  /// - Parameter file: YAML, by source and the vendor's own id of the account the organisation's UUID; `*` is any
  ///   account.
  /// - Throws: `MappingLoadError` with all problems of the file.
  public static func load(file: String) throws(MappingLoadError) -> [String: [String: UUID]] {
    guard let data = FileManager.default.contents(atPath: file), let text = String(validating: data, as: UTF8.self)
    else {
      throw MappingLoadError(problems: [
        YAMLDiagnostic(file: file, line: 0, column: 0, message: "the file cannot be read as UTF-8 text")
      ])
    }
    let problems = YAMLDiagnosticList(file: file)
    var tenants: [String: [String: UUID]] = [:]
    for (source, accounts) in MappingLoader.compose(text, problems)?.members() ?? [] {
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
