import ConnectionThreads
import Glibc
import Journey
import Logging
import Synchronization

/// Writes log lines to standard error: text for people, JSON for machines. Others' text is only text in both.
///
/// Routing keys, names in bodies, headers and what servers answer come from outside. Here, for all call sites at once,
/// each event becomes exactly one line: what would begin another line, steer a terminal or turn the direction of text
/// is escaped, a value of several words is quoted, what is long is cut, and e-mail addresses are left out. Only the keys
/// of `LogKey` are written. Lines with a code are grouped, see `RepeatedLines`.
struct LineLogHandler: LogHandler {
  enum Format: String, CaseIterable {
    /// Text if standard error is a terminal, otherwise JSON.
    case auto
    case text, json

    var isJSON: Bool { self == .json || self == .auto && isatty(2) == 0 }
  }

  private static let maxMessageLength = 2000
  private static let maxValueLength = 300
  private static let repeats = RepeatedLines()
  /// One line is written at a time.
  private static let output = Mutex<Void>(())

  let isJSON: Bool
  var logLevel = Logger.Level.info
  var metadataProvider: Logger.MetadataProvider?
  var metadata = Logger.Metadata()

  init(_ format: Format) { isJSON = format.isJSON }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var values = metadata
    if let provided = metadataProvider?.get() { values.merge(provided) { $1 } }
    if let given = event.metadata { values.merge(given) { $1 } }
    if let error = event.error { values[LogKey.error.rawValue] = "\(error)" }
    if let request = values["hb.request.id"] { values[LogKey.request.rawValue] = request }
    let line = LogLine(
      level: event.level, message: Self.plain("\(event.message)", Self.maxMessageLength),
      fields: LogKey.allCases.compactMap { key in
        values[key.rawValue].map {
          (key, Self.plain("\($0)", key == .settings ? Self.maxMessageLength : Self.maxValueLength))
        }
      }, isJSON: isJSON)
    if Self.repeats.isFirst(line, at: .now) { Self.write(line) }
  }

  /// Writes the counts of groups whose interval is over.
  /// - Parameter all: at the end of the process.
  static func flush(all: Bool = false) {
    for line in repeats.removeDue(at: .now, all: all) { write(line) }
  }

  /// Flushes once a second, on a thread of its own: standard error may take nothing for a while.
  static func startFlushing() { NamedThread.startEverySecond(name: "log") { flush() } }

  private static func write(_ line: LogLine) {
    let bytes = line.bytes(at: SystemClock().now())
    output.withLock { _ in Output.write(bytes, to: 2) }
  }

  private static func plain(_ text: String, _ limit: Int) -> String { text.withoutAddresses.plain(limit) }
}

/// A line before it is written.
struct LogLine: Sendable {
  var level: Logger.Level
  var message: String
  /// In the order of `LogKey`, already plain.
  var fields: [(key: LogKey, text: String)]
  var isJSON: Bool

  subscript(key: LogKey) -> String? { fields.first { $0.key == key }?.text }

  mutating func set(_ key: LogKey, _ number: Int) {
    fields.removeAll { $0.key == key }
    fields.append((key, "\(number)"))
  }

  func bytes(at time: Timestamp) -> [UInt8] {
    guard isJSON else {
      var text = "\(time.iso8601) \(level) \(message)"
      for (key, value) in fields { text += " \(key.rawValue)=\(Self.quoted(value))" }
      return Array((text + "\n").utf8)
    }
    let members: [(String, (any Encodable)?)] =
      [("time", time), ("level", level.rawValue), ("message", message)]
      + fields.map { key, text in
        (key.rawValue, key.isNumber ? Int(text).map { $0 as any Encodable } ?? text : text)
      }
    return encodeJSON(JSONObject(members)) + Array("\n".utf8)
  }

  private static func quoted(_ text: String) -> String {
    guard text.isEmpty || text.contains(where: { $0 == " " || $0 == "\"" || $0 == "=" }) else { return text }
    return "\"" + text.replacing("\"", with: "\\\"") + "\""
  }
}

extension String {
  /// Without what may be an e-mail address: a word with `@` and a dot after it.
  var withoutAddresses: String {
    guard utf8.contains(UInt8(ascii: "@")) else { return self }
    return replacing(/[^\s"'<>()\[\]=,;:\/@]+@[^\s"'<>()\[\]=,;:\/@]+\.[^\s"'<>()\[\]=,;:\/@]+/, with: "(address)")
  }
}
