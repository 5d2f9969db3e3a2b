/// The fields of log lines: one closed set. `docs/operations.md` lists them.
///
/// No field holds what a message contains, an e-mail address or a secret.
public enum LogKey: String, CaseIterable, Sendable {
  case code, org, client, action, event
  case deadLetter = "dead_letter"
  case messageID = "message_id"
  case reason, error, field, source, type, tier
  case routingKey = "routing_key"
  case count, repeats, bytes, worker, generation, order, hold, instance, address, probes, version, commit, host, config,
    settings
  case databaseLink = "database_link"
  case brokerLink = "broker_link"
  case apiLink = "api_link"
  case apiKeys = "api_keys"
  case received, stored, duplicates, outcomes, rejected, ignored, published, unlisted
  case publishFailures = "publish_failures"
  case evaluatedOverTime = "evaluated_over_time"
  case new, known, closed, open
  case failedAgain = "failed_again"
  case request

  public var meaning: String {
    switch self {
    case .code: "what kind of line this is; lines with a code are grouped"
    case .org: "id of an organisation"
    case .client: "id of a client"
    case .action: "id of an action; of several, the first"
    case .event: "id of an event of the table"
    case .deadLetter: "id of a dead letter, as for `journey dlq show`"
    case .messageID: "the message's own id (`message_id`), if it is a plain identifier"
    case .reason: "why"
    case .error: "what a server or the system answered"
    case .field: "the field that is at fault, as its mapping names it"
    case .source: "source of events, such as `stripe`"
    case .type: "event type of a source"
    case .tier: "retry queue: 10s, 1m, 10m, 1h"
    case .routingKey: "the message's routing key"
    case .count: "how many"
    case .repeats: "how many lines of the same level, message and code this one stands for"
    case .bytes: "size"
    case .worker: "number of a commit worker"
    case .generation: "number of the connection to the broker, from 1"
    case .order: "id of an order to pause or resume (`journey_pauses`)"
    case .hold: "id of a hold of actions (`journey hold list`)"
    case .instance: "id of this instance, as for `journey pause --instance`"
    case .address: "network address"
    case .probes: "address of the probes"
    case .version: "version of the program"
    case .commit: "commit that the program was built from"
    case .host: "name of the machine"
    case .config: "the settings file; empty: none"
    case .settings: "settings that differ from their defaults; secrets are only said to be set"
    case .databaseLink: "how the connection to the database is protected"
    case .brokerLink: "how the connection to the broker is protected"
    case .apiLink: "who can reach the API"
    case .apiKeys: "where the API's keys come from"
    case .received: "messages received since the start"
    case .stored: "events stored since the start"
    case .duplicates: "events that were stored before"
    case .outcomes: "outcomes of actions that were recorded"
    case .rejected: "messages dead-lettered or retried later"
    case .ignored: "messages that the mapping ignores"
    case .published: "actions confirmed by the broker"
    case .unlisted: "messages whose event type no rule names"
    case .publishFailures: "failed attempts to publish an action"
    case .evaluatedOverTime: "clients evaluated without a new event"
    case .new: "dead letters archived for the first time"
    case .known: "dead letters that were archived before"
    case .closed: "closed dead letters that were deleted"
    case .open: "open dead letters that were deleted"
    case .failedAgain: "replayed dead letters that failed again"
    case .request: "id of a request to the API"
    }
  }

  /// Whether it is a number, also in JSON.
  public var isNumber: Bool {
    switch self {
    case .count, .repeats, .bytes, .worker, .generation, .order, .hold, .received, .stored, .duplicates, .outcomes,
      .rejected,
      .ignored,
      .published, .unlisted, .publishFailures, .evaluatedOverTime, .new, .known, .failedAgain, .closed, .open:
      true
    default: false
    }
  }

  /// Whether the lines of a group add it up.
  public var isSum: Bool {
    switch self {
    case .count, .new, .known, .failedAgain, .closed, .open: true
    default: false
    }
  }
}

/// Metadata of a log line, which can only be built from this set of keys. Written for swift-log's `Logger.Metadata`
/// without naming it: the domain does no logging.
extension Dictionary where Key == String, Value: ExpressibleByStringLiteral, Value.StringLiteralType == String {
  /// Fields that are nil are left out.
  public static func fields(_ fields: KeyValuePairs<LogKey, String?>) -> Self {
    var metadata: Self = [:]
    for (key, text) in fields { metadata[key.rawValue] = text.map { Value(stringLiteral: $0) } }
    return metadata
  }
}

extension String {
  /// The text if it is a plain identifier, as ids of messages are: what comes from outside may be anything.
  public var asIdentifier: String? {
    let isPlain =
      (1...80).contains(utf8.count)
      && utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
          UInt8(ascii: ":"):
          true
        default: false
        }
      }
    return isPlain ? self : nil
  }
}
