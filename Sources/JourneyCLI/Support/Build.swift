import CBuild

/// Which program this is.
struct Build: Encodable {
  static let version = "0.9.0"

  let version = Self.version
  /// nil: not built by `make dist`.
  let commit = Self.text(journey_build_commit)
  /// When it was built, in UTC.
  let date = Self.text(journey_build_date)
  let configuration = Self.isDebug ? "debug" : "release"

  /// `journey 0.6.0 (commit 1a2b3c4d5e6f, built 2026-11-30T12:00:00Z)`
  var description: String {
    let stamp = commit.map { "commit \($0.prefix(12)), built \(date ?? "at an unknown time")" }
    return "journey \(version) (\(stamp ?? "\(configuration) build from a working copy"))"
  }

  #if DEBUG
    private static let isDebug = true
  #else
    private static let isDebug = false
  #endif

  private static func text(_ stamp: UnsafePointer<CChar>?) -> String? {
    stamp.map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
  }

  // The program's answer names what is not known.
  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(version, forKey: .version)
    try container.encode(commit, forKey: .commit)
    try container.encode(date, forKey: .date)
    try container.encode(configuration, forKey: .configuration)
  }

  private enum CodingKeys: CodingKey { case version, commit, date, configuration }
}
