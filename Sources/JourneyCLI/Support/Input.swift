import FoundationEssentials
import Glibc
import Journey
import JourneyConfiguration

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

  /// The value of `--time-zone`.
  static func timeZone(_ name: String) throws(Failure) -> String {
    guard TimeZones.system.isKnown(name) else {
      throw Failure(
        .refusedInput, "--time-zone \(name.plain(80)): is no IANA name of a time zone, such as Europe/Berlin")
    }
    return name
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

  /// A time in the future: as such, or in how long.
  static func time(ahead text: String, _ name: String, at now: Timestamp) throws(Failure) -> Timestamp {
    guard let time = Timestamp(iso8601: text, zone: .isUTC) ?? TimeSpan(text: text).map({ now + $0 }) else {
      throw Failure(
        .refusedInput, "\(name) \(text): expected 2026-11-20T10:00:00Z, 2026-11-20, or in how long: 90m, 2h, 3d")
    }
    return time
  }

  static func deadLetterID(_ text: String) throws(Failure) -> UUID {
    guard let id = UUID(uuidString: text) else {
      throw Failure(.refusedInput, "\(text) is not the id of a dead letter; see journey dlq list")
    }
    return id
  }
}
