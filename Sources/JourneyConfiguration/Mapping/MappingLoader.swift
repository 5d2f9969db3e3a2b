import FoundationEssentials
public import Journey
import Yams

/// Reads mapping files: one YAML file for each source.
public enum MappingLoader {
  /// Loads all `*.yaml` and `*.yml` files of some directories, in the order of their names.
  ///
  /// - Parameter directories: a later directory's mapping of a source replaces an earlier one's.
  /// - Throws: `MappingLoadError` with all problems of all files. Two files for one source in one directory are a
  ///   problem.
  public static func load(directories: [String]) throws(MappingLoadError) -> MappingCatalog {
    let survey = survey(directories: directories)
    if !survey.problems.isEmpty { throw MappingLoadError(problems: survey.problems) }
    return survey.catalog
  }

  /// What a set of mapping files holds: the mappings that can be used, and all that is wrong or looks so.
  public struct Survey: Sendable {
    /// The mappings of the files without a mistake.
    public var catalog = MappingCatalog([])
    public var problems: [YAMLDiagnostic] = []
    /// The source of each file with a mistake, as far as it can be read.
    public var broken: [String: [YAMLDiagnostic]] = [:]
    /// What `check` refuses although the file can be used, as files of earlier versions may have it.
    public var refusals: [YAMLDiagnostic] = []
    /// What should be looked at.
    public var warnings: [YAMLDiagnostic] = []
    /// The pairs of rules that may match the same body.
    public var overlaps: [YAMLDiagnostic] = []
  }

  /// Reads all files like `load`, but keeps what can be used of files beside one with a mistake.
  public static func survey(directories: [String]) -> Survey {
    var survey = Survey()
    var mappings: [Mapping] = []
    for directory in directories {
      var fileOfSource: [String: String] = [:]
      guard let files = files(in: directory) else {
        survey.problems.append(YAMLDiagnostic(file: directory, message: "the directory of mappings cannot be read"))
        continue
      }
      for file in files {
        do throws(MappingLoadError) {
          let (mapping, notes) = try inspect(yaml: try text(of: file), file: file)
          survey.warnings += notes.warnings
          survey.refusals += notes.refusals
          survey.overlaps += notes.overlaps
          if let other = fileOfSource.updateValue(file, forKey: mapping.source) {
            survey.problems.append(
              YAMLDiagnostic(file: file, message: "\(other) maps the source \(mapping.source) too"))
          }
          mappings.append(mapping)
        } catch {
          survey.problems += error.problems
          if let source = source(ofFile: file) { survey.broken[source] = error.problems }
        }
      }
    }
    survey.catalog = MappingCatalog(mappings)
    return survey
  }

  /// Reads one mapping.
  ///
  /// - Parameter file: how problems call the text.
  /// - Throws: `MappingLoadError` with all problems of the text.
  public static func load(yaml text: String, file: String) throws(MappingLoadError) -> Mapping {
    try inspect(yaml: text, file: file).mapping
  }

  static func inspect(yaml text: String, file: String) throws(MappingLoadError) -> (
    mapping: Mapping, notes: YAMLDiagnosticList
  ) {
    let problems = YAMLDiagnosticList(file: file)
    let mapping = YAMLDocument.root(of: text, problems).flatMap { $0.sourceMapping() }
    guard let mapping, problems.problems.isEmpty else { throw MappingLoadError(problems: problems.sorted) }
    return (mapping, problems)
  }

  static func text(of file: String) throws(MappingLoadError) -> String {
    if let text = YAMLDocument.text(of: file) { return text }
    throw MappingLoadError(problems: [YAMLDiagnostic(file: file, message: "the file cannot be read as UTF-8 text")])
  }

  /// The file that maps a source; the last directory that has one decides.
  public static func file(ofSource source: String, in directories: [String]) -> String? {
    for directory in directories.reversed() {
      for file in files(in: directory) ?? [] {
        if Self.source(ofFile: file) == source { return file }
      }
    }
    return nil
  }

  private static func source(ofFile file: String) -> String? {
    YAMLDocument.text(of: file).flatMap { YAMLDocument.root(of: $0, YAMLDiagnosticList(file: file)) }?
      .node["source"]?.scalar?.string
  }

  private static func files(in directory: String) -> [String]? {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: directory) else { return nil }
    return names.sorted().filter { $0.hasSuffix(".yaml") || $0.hasSuffix(".yml") }.map {
      directory.hasSuffix("/") ? directory + $0 : "\(directory)/\($0)"
    }
  }
}

extension YAMLField {
  fileprivate func sourceMapping() -> Mapping? {
    guard let members = members(MappingLanguage.file) else { return nil }
    let source = members["source"]?.text()
    let summary = members["description"]?.text() ?? ""
    let version = members["version"]?.text() ?? "1"
    let types = members["types"]?.ownTypes() ?? [:]
    let unlisted: UnlistedPolicy? = members["unlisted"].map { $0.keyword() } ?? .count
    guard let (envelope, defaults0) = members["envelope"]?.envelope() else {
      // Rules are read nevertheless, to report their problems at once.
      _ = members["rules"]?.rules(defaults: MappingDefaults(client: MappingClient([]), types: types))
      return nil
    }
    var defaults = defaults0
    defaults.types = types
    guard let rules = members["rules"]?.rules(defaults: defaults), let source, let unlisted else { return nil }
    var mapping = Mapping(
      source: source, summary: summary, version: version, envelope: envelope, rules: rules, unlisted: unlisted)
    mapping.ownTypes = Set(types.keys)
    return mapping
  }

  private func ownTypes() -> [String: Actor]? {
    var types: [String: Actor] = [:]
    for (key, field) in members() ?? [] {
      if EventTypes.actor(of: key.text) != nil {
        field.report("\(key.text) is a canonical type already; a rule says who acts with by: …", at: key.mark)
      }
      types[key.text] = field.keyword()
    }
    return types
  }

  private func envelope() -> (MappingEnvelope, MappingDefaults)? {
    guard let members = members(MappingLanguage.envelope) else { return nil }
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
    let group = members["group"].map { $0.expression() }
    let testTraffic = members["testTraffic"].map { $0.condition() }
    let empty = MappingMetadata(redacted: redacted ?? [])
    let metadata = members["metadata"].map { $0.metadata(adding: empty) } ?? empty
    guard let type, let organization, let id, let time, let metadata, let splits, let roots, let tenant,
      testTraffic != .some(nil)
    else {
      return nil
    }
    let envelope = MappingEnvelope(
      roots: roots, splits: splits, emptyReason: members["empty"].flatMap { $0.text() }, source: source ?? nil,
      type: type,
      organization: organization,
      tenant: tenant, testTraffic: testTraffic ?? nil)
    return (
      envelope, MappingDefaults(id: id, time: time, client: client ?? nil, group: group ?? nil, metadata: metadata)
    )
  }

  private func splitPaths() -> [JSONPath]? {
    guard let fields = oneOrMany() else { return nil }
    let paths = fields.compactMap { $0.splitPath() }
    return paths.count == fields.count ? paths : nil
  }

  /// Where the event is in a body that wraps it; the body itself if nothing is there.
  private func rootPaths() -> [JSONPath]? {
    guard let fields = oneOrMany() else { return nil }
    let paths = fields.compactMap { $0.jsonPath() }
    return paths.count == fields.count ? paths : nil
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
      for earlier in rules {
        if let type = earlier.hiding(rule) {
          field.refuse("\"\(earlier.name)\" takes \(type) before it", hint: "put the rule for more types last")
        }
      }
      if let contradiction = rule.contradiction { field.report("the rule can never match: \(contradiction)") }
      for earlier in rules where earlier.mayOverlap(rule) {
        field.noteOverlap("may match where \"\(earlier.name)\" matches too; the first wins")
      }
      rules.append(rule)
    }
    return rules.count == fields.count ? rules : nil
  }
}
