import Journey
import Logging

/// Writes log lines to standard error in which others' text is only text.
///
/// Routing keys, names in bodies, headers and what servers answer come from outside. Here, for all call sites at once,
/// each event becomes exactly one line: what would begin another line, steer a terminal or turn the direction of text
/// is escaped, a value of several words is quoted so that it does not pass for further fields, and what is long is cut.
struct PlainLogHandler: LogHandler {
  private static let maxMessageLength = 2000
  private static let maxValueLength = 300

  private var inner: StreamLogHandler

  init(_ inner: StreamLogHandler) { self.inner = inner }

  var logLevel: Logger.Level {
    get { inner.logLevel }
    set { inner.logLevel = newValue }
  }
  var metadataProvider: Logger.MetadataProvider? {
    get { inner.metadataProvider }
    set { inner.metadataProvider = newValue }
  }
  var metadata: Logger.Metadata {
    get { inner.metadata }
    set { inner.metadata = Self.plain(newValue) }
  }
  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { inner[metadataKey: key.plain(60)] }
    set { inner[metadataKey: key.plain(60)] = newValue.map(Self.plain) }
  }

  func log(event: LogEvent) {
    var event = event
    event.message = "\(event.message.description.plain(Self.maxMessageLength))"
    var metadata = event.metadata.map(Self.plain) ?? [:]
    if let error = event.error {
      metadata["error"] = Self.plain("\(error)")
      event.error = nil
    }
    event.metadata = metadata.isEmpty ? nil : metadata
    inner.log(event: event)
  }

  private static func plain(_ metadata: Logger.Metadata) -> Logger.Metadata {
    Logger.Metadata(metadata.map { ($0.plain(60), plain($1)) }) { $1 }
  }

  private static func plain(_ value: Logger.MetadataValue) -> Logger.MetadataValue {
    switch value {
    case .string(let text): .string(quoted(text))
    case .stringConvertible(let thing): .string(quoted("\(thing)"))
    case .array(let values): .array(values.map(plain))
    case .dictionary(let metadata): .dictionary(plain(metadata))
    }
  }

  private static func quoted(_ text: String) -> String {
    let plain = text.plain(maxValueLength)
    guard plain.isEmpty || plain.contains(where: { $0 == " " || $0 == "\"" || $0 == "=" }) else { return plain }
    return "\"" + plain.replacing("\"", with: "\\\"") + "\""
  }
}
