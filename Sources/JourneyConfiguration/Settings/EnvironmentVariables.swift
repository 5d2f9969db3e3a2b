/// The environment as settings: what is in it that looks like a setting and is none.
///
/// Others set variables that begin like ours: a host's DATABASE_HOST, the variables that Kubernetes sets for a service
/// named `api`. So only a name that is nearly a setting's is an error.
struct EnvironmentVariables {
  /// Without what is certainly no setting.
  let values: [String: String]
  private(set) var problems: [String] = []
  private(set) var warnings: [String] = []

  /// Read elsewhere than in the table of settings.
  private static let others = ["JOURNEY_CONFIG", "JOURNEY_ACTOR"]
  /// Sections whose names others hardly use.
  private static let ownSections = ["DEAD_LETTERS", "INGEST", "PIPELINE", "PROBES", "RAW_BODIES"]

  /// A name that is read: its section, the rest, and what to write.
  private struct Name {
    let section: String
    let rest: String
    let current: String
  }

  /// - Parameter isSet: whether a setting has a value elsewhere, so that the program starts as it is meant to.
  init(_ environment: [String: String], isSet: (Setting) -> Bool = { _ in false }) {
    values = environment.filter { !Self.isServiceLink($0, $1) }
    var names: [String: Name] = [:]
    for setting in Settings.all {
      guard let current = setting.environment else { continue }
      let section = Setting.environmentName(setting.section)
      for name in [current] + (setting.deprecatedKey.map { [Setting.environmentName($0)] } ?? []) {
        names[name] = Name(section: section, rest: String(name.dropFirst(section.count + 1)), current: current)
      }
    }
    for name in Self.others { names[name] = Name(section: "JOURNEY", rest: String(name.dropFirst(8)), current: name) }
    for variable in values.keys.sorted() where names[variable] == nil {
      if let meant = Self.nearest(variable.uppercased(), names.values) {
        let text = "\(variable) in the environment is no setting"
        let isMeantSet = values[meant] != nil || Settings.all.first { $0.environment == meant }.map(isSet) ?? false
        if !isMeantSet {
          problems.append("\(text); did you mean \(meant)?")
        } else {
          warnings.append("\(text) and is ignored; \(meant), which is set, is one")
        }
      } else if Self.ownSections.contains(where: { variable.hasPrefix("\($0)_") }) {
        warnings.append("\(variable) in the environment is no setting and is ignored; see journey settings describe")
      }
    }
  }

  /// Either the section is right and the rest nearly so, or the other way round.
  private static func nearest(_ variable: String, _ names: some Sequence<Name>) -> String? {
    let candidates = names.compactMap { name -> (distance: Int, current: String)? in
      if variable.hasPrefix("\(name.section)_") {
        let rest = variable.dropFirst(name.section.count + 1)
        if isAbbreviation(rest, name.rest[...]) { return (0, name.current) }
        let distance = editDistance(rest.filter { $0 != "_" }, name.rest.filter { $0 != "_" })
        return distance <= (rest.count < 5 ? 1 : max(2, rest.count / 4)) ? (distance, name.current) : nil
      }
      // Shorter ones are nearly those of others: APP_PORT, API_PORT.
      guard name.section.count >= 4, variable.hasSuffix("_\(name.rest)") else { return nil }
      let distance = editDistance(String(variable.dropLast(name.rest.count + 1)), name.section)
      return distance == 1 ? (distance, name.current) : nil
    }
    return candidates.min { ($0.distance, $0.current) < ($1.distance, $1.current) }?.current
  }

  /// Whether the same words, more than one, are shortened or lengthened: `MAX_BODY_BYTES`, `MAXIMUM_BODY_BYTES`.
  private static func isAbbreviation(_ first: Substring, _ second: Substring) -> Bool {
    let a = first.split(separator: "_"), b = second.split(separator: "_")
    return a.count == b.count && a.count > 1
      && zip(a, b).allSatisfy { min($0.count, $1.count) >= 3 ? $0.hasPrefix($1) || $1.hasPrefix($0) : $0 == $1 }
  }

  /// A variable that Kubernetes sets for a service in the namespace: `API_SERVICE_HOST`, `API_PORT=tcp://…`,
  /// `API_PORT_80_TCP_ADDR`.
  private static func isServiceLink(_ name: String, _ value: String) -> Bool {
    ["tcp://", "udp://", "sctp://"].contains { value.hasPrefix($0) } || name.hasSuffix("_SERVICE_HOST")
      || name.contains("_SERVICE_PORT") || name.contains(/_PORT_\d+_(TCP|UDP|SCTP)/)
  }
}
