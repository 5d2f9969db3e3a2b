import FoundationEssentials
public import Journey
import Yams

/// Reads mapping files: one YAML file a source.
public enum MappingLoader {
  /// Loads all `*.yaml` and `*.yml` files of some directories, each directory in the order of the files' names.
  ///
  /// - Parameter directories: a later directory's mapping replaces an earlier one's of the same source, so that a
  ///   profile need only hold what differs.
  /// - Throws: `MappingLoadError` with all problems of all files, two files of one directory for the same source among
  ///   them.
  public static func load(directories: [String]) throws(MappingLoadError) -> MappingCatalog {
    try inspect(directories: directories).catalog
  }

  /// As `load`, and tells what is worth a look besides: rules that may match the same body.
  public static func inspect(directories: [String]) throws(MappingLoadError) -> (
    catalog: MappingCatalog, warnings: [YAMLDiagnostic]
  ) {
    var warnings: [YAMLDiagnostic] = []
    var mappings: [Mapping] = []
    var problems: [YAMLDiagnostic] = []
    for directory in directories {
      var fileOfSource: [String: String] = [:]
      guard let names = try? FileManager.default.contentsOfDirectory(atPath: directory) else {
        problems.append(problem(directory, "the directory of mappings cannot be read"))
        continue
      }
      for name in names.sorted() where name.hasSuffix(".yaml") || name.hasSuffix(".yml") {
        let file = directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
        guard let data = FileManager.default.contents(atPath: file), let text = String(validating: data, as: UTF8.self)
        else {
          problems.append(problem(file, "the file cannot be read as UTF-8 text"))
          continue
        }
        do throws(MappingLoadError) {
          let (mapping, notes) = try inspect(yaml: text, file: file)
          warnings += notes
          if let other = fileOfSource.updateValue(file, forKey: mapping.source) {
            problems.append(problem(file, "\(other) maps the source \(mapping.source) too"))
          }
          mappings.append(mapping)
        } catch {
          problems += error.problems
        }
      }
    }
    if !problems.isEmpty { throw MappingLoadError(problems: problems) }
    return (MappingCatalog(mappings), warnings)
  }

  /// Reads one mapping.
  ///
  /// - Parameter file: how problems call the text.
  /// - Throws: `MappingLoadError` with all problems of the text.
  public static func load(yaml text: String, file: String) throws(MappingLoadError) -> Mapping {
    try inspect(yaml: text, file: file).mapping
  }

  static func inspect(yaml text: String, file: String) throws(MappingLoadError) -> (
    mapping: Mapping, warnings: [YAMLDiagnostic]
  ) {
    let problems = YAMLDiagnosticList(file: file)
    let mapping = compose(text, problems).flatMap { $0.sourceMapping() }
    guard let mapping, problems.problems.isEmpty else { throw MappingLoadError(problems: problems.sorted) }
    return (mapping, problems.warnings)
  }

  static func compose(_ text: String, _ problems: YAMLDiagnosticList) -> YAMLField? {
    do {
      // The readers tell types by style and text: what YAML 1.1 makes of `on` or `012` is of no use to them.
      if let node = try Yams.compose(yaml: text, .basic) {
        return YAMLField(node: node, name: "", rule: nil, problems: problems)
      }
      problems.add(problem(problems.file, "the file is empty"))
    } catch let error as YamlError {
      problems.add(yamlProblem(error, file: problems.file))
    } catch {
      problems.add(problem(problems.file, "the file is not YAML"))
    }
    return nil
  }

  private static func yamlProblem(_ error: YamlError, file: String) -> YAMLDiagnostic {
    switch error {
    case .scanner(_, let text, let mark, _), .parser(_, let text, let mark, _), .composer(_, let text, let mark, _):
      YAMLDiagnostic(file: file, line: mark.line, column: mark.column, message: "not YAML: \(text)")
    case .duplicatedKeysInMapping(let keys, let context):
      YAMLDiagnostic(
        file: file, line: context.mark.line, column: context.mark.column,
        message: "the key \(keys.joined(separator: ", ")) occurs twice")
    default: problem(file, "the file is not YAML")
    }
  }

  private static func problem(_ file: String, _ message: String) -> YAMLDiagnostic {
    YAMLDiagnostic(file: file, line: 0, column: 0, message: message)
  }
}

extension YAMLField {
  fileprivate func sourceMapping() -> Mapping? {
    guard let members = members(["source", "description", "version", "envelope", "rules"]) else { return nil }
    for key in ["source", "envelope", "rules"] where members[key] == nil { report("\(key) is missing") }
    let source = members["source"]?.text()
    let summary = members["description"]?.text() ?? ""
    let version = members["version"]?.text() ?? "1"
    guard let (envelope, defaults) = members["envelope"]?.envelope() else {
      // Rules are read all the same: their problems should not wait for the envelope's.
      _ = members["rules"]?.rules(defaults: MappingDefaults(client: MappingClient([])))
      return nil
    }
    guard let rules = members["rules"]?.rules(defaults: defaults), let source else { return nil }
    return Mapping(source: source, summary: summary, version: version, envelope: envelope, rules: rules)
  }

  private func envelope() -> (MappingEnvelope, MappingDefaults)? {
    let keys = [
      "split", "root", "empty", "tenant", "redact", "source", "id", "type", "time", "client", "org", "metadata",
    ]
    guard let members = members(keys) else { return nil }
    for key in ["type", "org"] where members[key] == nil { report("\(key) is missing") }
    let splits = members["split"].map { $0.splitPaths() } ?? []
    let roots = members["root"].map { $0.rootPaths() } ?? []
    let tenant = members["tenant"].map { $0.choices() } ?? []
    let redacted = members["redact"].map { $0.constants().map { Set($0.map { $0.text.lowercased() }) } } ?? []
    let source = members["source"].map { $0.expression() }
    let type = members["type"]?.expression()
    let organization = members["org"]?.choices()
    let id = members["id"].map { $0.choices() } ?? []
    let time = members["time"].map { $0.times() } ?? []
    let client = members["client"].map { $0.client() }
    let empty = MappingMetadata(redacted: redacted ?? [])
    let metadata = members["metadata"].map { $0.metadata(adding: empty) } ?? empty
    guard let type, let organization, let id, let time, let metadata, let splits, let roots, let tenant else {
      return nil
    }
    let envelope = MappingEnvelope(
      splits: splits + roots, emptyReason: members["empty"].flatMap { $0.text() }, source: source ?? nil, type: type,
      organization: organization,
      tenant: tenant)
    return (envelope, MappingDefaults(id: id, time: time, client: client ?? nil, metadata: metadata))
  }

  private func splitPaths() -> [JSONPath]? {
    guard let fields = oneOrMany() else { return nil }
    let paths = fields.compactMap { $0.splitPath() }
    return paths.count == fields.count ? paths : nil
  }

  /// Where the event stands in bodies that wrap it; the body itself where nothing stands there.
  private func rootPaths() -> [JSONPath]? {
    guard let fields = oneOrMany() else { return nil }
    let paths = fields.compactMap { $0.jsonPath() }
    return paths.count == fields.count ? paths + [JSONPath.root] : nil
  }

  private func splitPath() -> JSONPath? {
    guard let text = text() else { return nil }
    do {
      let path = try JSONPath(text)
      if path.isWildcard { return path }
      report("\(text) names one value", hint: "a split names many: $[*] or $.events[*]")
    } catch {
      report("\(text): \(error)")
    }
    return nil
  }

  private func rules(defaults: MappingDefaults) -> [MappingRule]? {
    guard let fields = elements() else { return nil }
    var rules: [MappingRule] = []
    for (position, field) in fields.enumerated() {
      let name = field.node.mapping?["name"]?.scalar?.string ?? "rule \(position + 1)"
      let field = field.inside(rule: name)
      guard let rule = field.rule(defaults: defaults) else { continue }
      if rules.contains(where: { $0.name == rule.name }) { field.report("another rule has the same name") }
      if let earlier = rules.first(where: { $0.covers(rule) }) {
        let reason =
          rule.condition == nil ? "takes all of its types before it" : "takes all that it could take before it"
        field.report("the rule can never match: \"\(earlier.name)\" \(reason)")
      }
      if let contradiction = rule.contradiction { field.report("the rule can never match: \(contradiction)") }
      for earlier in rules where earlier.mayOverlap(rule) {
        field.warn("may match where \"\(earlier.name)\" matches too; the first wins")
      }
      rules.append(rule)
    }
    return rules.count == fields.count ? rules : nil
  }
}
