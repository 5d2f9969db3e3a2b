public import FoundationEssentials

/// The mappings of all sources, by source name.
public struct MappingCatalog: Sendable {
  public let mappings: [String: Mapping]

  public init(_ mappings: [Mapping]) {
    self.mappings = Dictionary(mappings.map { ($0.source, $0) }) { _, later in later }
  }

  public subscript(source: String) -> Mapping? { mappings[source] }

  /// The names of all sources, sorted.
  public var sources: [String] { mappings.keys.sorted() }

  /// Event types of one's own that their rules make.
  public var ownTypes: Set<String> { mappings.values.reduce(into: []) { $0.formUnion($1.ownTypes) } }

  /// The same mappings with the organisations of vendor accounts.
  /// - Parameter tenants: by source, then by vendor account id; `*` matches any account.
  public func with(tenants: [String: [String: UUID]]) -> MappingCatalog {
    MappingCatalog(
      mappings.values.map { mapping in
        var mapping = mapping
        mapping.tenants = tenants[mapping.source] ?? [:]
        return mapping
      })
  }
}
