import JourneyConfiguration

/// Commands that texts advise, as they have to be typed here: an installed program has the owner's credentials in
/// files, and systemd starts it.
enum Advice {
  static let migrate = asOwner("migrate")
  static let topology = asOwner("topology apply")
  static let verifyTopology = asOwner("topology verify")
  static let policy = "journey topology policy"
  static let serve = isInstalled ? "systemctl start journey" : "journey serve"
  static let restart = isInstalled ? "systemctl restart journey" : "restart journey serve"
  /// For an instance that may run already.
  static let restartOrServe = isInstalled ? "systemctl restart journey" : "journey serve"

  private static let isInstalled = InstalledFiles.data != nil

  private static func asOwner(_ command: String) -> String {
    isInstalled ? "CREDENTIALS_DIRECTORY=/etc/journey/owner journey \(command)" : "journey \(command)"
  }

  /// How to give a URL that is missing.
  static func url(_ variable: String, example: String) -> String {
    "give \(variable) or \(variable)_FILE, e.g. \(example), or CREDENTIALS_DIRECTORY"
      + (isInstalled ? "=/etc/journey/credentials" : ", a directory with the file \(file(variable))")
  }

  private static func file(_ variable: String) -> String { variable.lowercased().replacing("_", with: "-") }
}
