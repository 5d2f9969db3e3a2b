import FoundationEssentials
import Yams

/// A YAML file.
enum YAMLDocument {
  /// - Returns: nil if the file cannot be read as UTF-8 text.
  static func text(of file: String) -> String? {
    FileManager.default.contents(atPath: file).flatMap { String(validating: $0, as: UTF8.self) }
  }

  /// - Returns: the root; nil after a problem is reported.
  static func root(of text: String, _ problems: YAMLDiagnosticList) -> YAMLField? {
    do {
      // The readers decide the types from style and text. YAML 1.1 would turn `on` and `012` into other values.
      if let node = try Yams.compose(yaml: text, .basic) {
        return YAMLField(node: node, name: "", rule: nil, problems: problems)
      }
      problems.add(YAMLDiagnostic(file: problems.file, message: "the file is empty"))
    } catch let error as YamlError {
      problems.add(diagnostic(error, file: problems.file))
    } catch {
      problems.add(YAMLDiagnostic(file: problems.file, message: "the file is not YAML"))
    }
    return nil
  }

  private static func diagnostic(_ error: YamlError, file: String) -> YAMLDiagnostic {
    switch error {
    case .scanner(_, let text, let mark, _), .parser(_, let text, let mark, _), .composer(_, let text, let mark, _):
      YAMLDiagnostic(file: file, line: mark.line, column: mark.column, message: "not YAML: \(text)")
    case .duplicatedKeysInMapping(let keys, let context):
      YAMLDiagnostic(
        file: file, line: context.mark.line, column: context.mark.column,
        message: "the key \(keys.joined(separator: ", ")) occurs twice")
    default: YAMLDiagnostic(file: file, message: "the file is not YAML")
    }
  }
}
