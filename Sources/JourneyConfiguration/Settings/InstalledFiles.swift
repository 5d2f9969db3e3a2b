import FoundationEssentials

/// Where the files of an installed program are.
public enum InstalledFiles {
  /// Directories that may hold `journey.yaml`, the first first: that of a working copy, that of the machine.
  public static let settings = ["config", "/etc/journey"]

  /// The program's own mappings and migrations: `/usr/share/journey` for `/usr/bin/journey`; nil: it runs from where it
  /// was built.
  public static let data: String? = {
    guard let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else { return nil }
    let prefix = program.split(separator: "/").dropLast(2).map { "/\($0)" }.joined()
    return exists("\(prefix)/share/journey") ? "\(prefix)/share/journey" : nil
  }()

  static func exists(_ directory: String) -> Bool { FileManager.default.fileExists(atPath: directory) }
}
