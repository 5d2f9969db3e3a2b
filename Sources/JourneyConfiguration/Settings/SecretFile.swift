import FoundationEssentials
import Glibc
import Synchronization

/// A secret in a file, read again while the program runs. Nothing that is said of it holds its content.
public final class SecretFile: Sendable {
  /// What names the file: `amqp.urlFile`, or `credential amqp-url`.
  public let name: String
  public let path: String
  private let content: Mutex<String>

  /// - Throws: `SettingsError` if the file cannot be read, or is empty.
  init(name: String, path: String) throws(SettingsError) {
    self.name = name
    self.path = path
    content = Mutex(try Self.read(path, name))
  }

  /// What was read last, without line breaks at the end.
  public var text: String { content.withLock { $0 } }
  /// The lines that are not empty.
  public var lines: [String] { Self.lines(of: text) }

  /// Reads the file again. What is not usable changes nothing.
  ///
  /// - Parameter check: throws if a content is not usable.
  /// - Throws: `SettingsError` if the file cannot be read or is empty, or what `check` throws.
  public func reload(_ check: (String) throws -> Void) throws {
    let text = try Self.read(path, name)
    try check(text)
    content.withLock { $0 = text }
  }

  public static func lines(of text: String) -> [String] { text.split(whereSeparator: \.isNewline).map(String.init) }

  private static func read(_ path: String, _ name: String) throws(SettingsError) -> String {
    guard !path.contains("://") else {
      throw SettingsError("\(name): expected the path of a file that holds the URL, not the URL itself")
    }
    guard access(path, R_OK) == 0, let data = FileManager.default.contents(atPath: path) else {
      throw SettingsError("\(name): \(path) cannot be read: \(String(cString: strerror(errno)))")
    }
    let text = String(decoding: data, as: UTF8.self).withoutLineBreaksAtTheEnd
    guard !text.isEmpty else { throw SettingsError("\(name): \(path) is empty") }
    return text
  }

  /// Whether every user of the machine can read the file: it is open to all, and so is each directory above it.
  var isOpenToAll: Bool {
    guard let resolved = realpath(path, nil) else { return false }
    defer { free(resolved) }
    func permits(_ path: String, _ bit: mode_t) -> Bool {
      var status = stat()
      return stat(path, &status) == 0 && status.st_mode & bit != 0
    }
    var path = String(cString: resolved)
    guard permits(path, S_IROTH) else { return false }
    while let slash = path.lastIndex(of: "/"), slash != path.startIndex {
      path = String(path[..<slash])
      guard permits(path, S_IXOTH) else { return false }
    }
    return true
  }
}

extension String {
  var withoutLineBreaksAtTheEnd: String {
    var text = self[...]
    while let last = text.unicodeScalars.last, last == "\n" || last == "\r" { text.unicodeScalars.removeLast() }
    return String(text)
  }
}
