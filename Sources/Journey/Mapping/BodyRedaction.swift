/// What of a body is redacted before it is kept: the members that the mapping redacts in metadata.
///
/// As there, a value that the mapping picks by its path stays, because without it the body could not be mapped again.
/// Only what describes a contact (the e-mail address, the fields of a new client) is redacted nevertheless.
public struct BodyRedaction: Sendable {
  /// What replaces a redacted value.
  public static let text = "[redacted]"

  private let names: Set<String>
  private let scan: MemberNameScan
  private let envelope: MappingEnvelope
  private let references: [MappingReference]

  /// - Returns: nil if the mapping redacts nothing.
  public init?(_ mapping: Mapping) {
    names = mapping.rules.reduce(into: []) { names, rule in
      if case .event(let template) = rule.outcome { names.formUnion(template.metadata.redacted) }
    }
    guard !names.isEmpty else { return nil }
    scan = MemberNameScan(names)
    envelope = mapping.envelope
    references = Array(Self.references(of: mapping))
  }

  /// - Returns: nil if there is nothing to redact, or the body is not JSON.
  public func redacted(_ body: [UInt8]) -> [UInt8]? {
    // Most bodies have none of the members, and to parse one costs as much as to map it.
    guard scan.mayOccur(in: body), let document = try? JSONDocument(parsing: body) else { return nil }
    return document.redacting(names, except: picked(in: document))
  }

  /// Whether a mapping picks a value that was redacted: its rules then read a member that earlier ones did not.
  public static func hides(from mapping: Mapping, in body: [UInt8]) -> Bool {
    guard let document = try? JSONDocument(parsing: body) else { return false }
    return nodes(of: references(of: mapping), mapping.envelope, in: document).contains {
      document.nodes[$0].kind == .string && document.string(at: $0) == text
    }
  }

  private func picked(in document: JSONDocument) -> Set<Int> { Self.nodes(of: references, envelope, in: document) }

  private static func nodes(
    of references: some Sequence<MappingReference>, _ envelope: MappingEnvelope, in document: JSONDocument
  ) -> Set<Int> {
    var nodes: Set<Int> = []
    for element in envelope.elements(of: document) {
      for reference in references {
        switch reference {
        case .path(let path): nodes.formUnion(path.resolveAll(in: document, from: element.node))
        case .body(let path): nodes.formUnion(path.resolveAll(in: document, from: 0))
        case .outer(let path): nodes.formUnion(path.resolveAll(in: document, from: element.outer))
        case .header, .property: continue
        }
      }
    }
    return nodes
  }

  /// All paths of a mapping, wherever they occur in it, but those of contacts. Reflection finds them also in the parts
  /// that are added to the language later.
  private static func references(of mapping: Mapping) -> Set<MappingReference> {
    var found: Set<MappingReference> = []
    collect(mapping.envelope, &found)
    for rule in mapping.rules { collect(rule, &found) }
    return found
  }

  private static let contactFields: Set<String> = ["email", "creation"]

  private static func collect(_ value: Any, _ found: inout Set<MappingReference>) {
    if let reference = value as? MappingReference {
      found.insert(reference)
    } else if let paths = value as? MappingPaths {
      switch paths.scope {
      case .element: found.insert(.path(paths.path))
      case .body: found.insert(.body(paths.path))
      case .outer: found.insert(.outer(paths.path))
      }
    } else if let path = value as? JSONPath {
      found.insert(.path(path))
    } else if !(value is String) {
      for (label, child) in Mirror(reflecting: value).children where !contactFields.contains(label ?? "") {
        collect(child, &found)
      }
    }
  }
}
