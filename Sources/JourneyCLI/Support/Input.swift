import FoundationEssentials
import Glibc

/// What a command is given: files, standard input, ids.
enum Input {
  /// The bytes of a file, or everything on standard input for `-`.
  static func read(_ path: String) throws(Failure) -> [UInt8] {
    if path == "-" { return readAll() }
    guard let data = FileManager.default.contents(atPath: path) else {
      throw Failure(.refusedInput, "\(path) cannot be read")
    }
    return Array(data)
  }

  private static func readAll() -> [UInt8] {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = Glibc.read(0, &buffer, buffer.count)
      guard count > 0 else { return all }
      all += buffer[..<count]
    }
  }

  /// - Parameters:
  ///   - name: the option or argument.
  ///   - owner: whose id it is, as in "a client".
  static func id(_ text: String, _ name: String, of owner: String) throws(Failure) -> UUID {
    guard let id = UUID(uuidString: text) else {
      throw Failure(.refusedInput, "\(name) \(text): expected the UUID of \(owner)")
    }
    return id
  }

  static func deadLetterID(_ text: String) throws(Failure) -> UUID {
    guard let id = UUID(uuidString: text) else {
      throw Failure(.refusedInput, "\(text) is not the id of a dead letter; see journey dlq list")
    }
    return id
  }
}
