/// A problem in a YAML file, for the person who wrote it.
public struct YAMLDiagnostic: Error, Hashable, Sendable, CustomStringConvertible {
  public var file: String
  /// From 1; 0 where the problem is the file itself.
  public var line = 0
  public var column = 0
  /// The rule's name, or its position (`rule 3`) if it has none; nil outside the rules.
  public var rule: String?
  /// The keys that lead to the value: `event.metadata.amount`.
  public var field: String?
  public var message: String
  /// What to write instead.
  public var hint: String?

  public var description: String {
    var text = line > 0 ? "\(file):\(line):\(column): " : "\(file): "
    if let rule { text += "rule \"\(rule)\": " }
    if let field, !field.isEmpty { text += "\(field): " }
    text += message
    if let hint { text += " (\(hint))" }
    return text
  }
}

/// All problems of all mapping files, a line each.
public struct MappingLoadError: Error, Hashable, Sendable, CustomStringConvertible {
  public var problems: [YAMLDiagnostic]

  public var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// Collects the problems of one file, so that all of them are reported at once.
final class YAMLDiagnosticList {
  let file: String
  private(set) var problems: [YAMLDiagnostic] = []
  /// What may be intended, but should be checked.
  private(set) var warnings: [YAMLDiagnostic] = []
  /// What `check` refuses, although files of earlier versions with it are loaded.
  private(set) var refusals: [YAMLDiagnostic] = []
  /// The pairs of rules that may match the same body.
  private(set) var overlaps: [YAMLDiagnostic] = []

  init(file: String) { self.file = file }

  func add(_ problem: YAMLDiagnostic) { problems.append(problem) }
  func warn(_ problem: YAMLDiagnostic) { warnings.append(problem) }
  func refuse(_ problem: YAMLDiagnostic) { refusals.append(problem) }
  func noteOverlap(_ note: YAMLDiagnostic) { overlaps.append(note) }

  /// In the order of the text.
  var sorted: [YAMLDiagnostic] { problems.sorted { ($0.line, $0.column) < ($1.line, $1.column) } }
}
