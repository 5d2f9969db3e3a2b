import FoundationEssentials
import Journey

/// A kept message on its way through a remap.
struct RemapItem: Sendable {
  /// Its number in the batch of raw bodies.
  var position: Int32
  /// The events that the current rules make of it.
  var events: [IncomingEvent]
  /// The rows that were made of it before.
  var owned: Set<UUID>
  /// Whether the rules reject a part of it, read what is redacted, or name another organisation than the remap's: then
  /// what is stored and not made again stays as it is.
  var isUndecided: Bool
  var rejections: [Rejection.Code]
}

/// What a remap has found, and done unless it was a rehearsal.
public struct RemapCounts: Sendable {
  /// The parts of an event in which it may differ.
  public enum Field: String, CaseIterable, Sendable {
    case type, stage, client, time, metadata, by
    /// It was voided by an earlier remap, and is made again.
    case voided
  }

  /// Messages that were mapped.
  public var messages = 0
  public var unchanged = 0
  public var changed = 0
  public var fields: [Field: Int] = [:]
  public var new = 0
  public var gone = 0
  /// Rejections by code: nothing is voided because of them.
  public var rejected: [String: Int] = [:]
  /// Messages whose rules read what was redacted before they were kept. They are left as they are.
  public var redacted = 0
  /// Messages with an event for a group of which nobody is known to get it, or for a client that another event of the
  /// same run makes known. They are left as they are.
  public var unresolved = 0
  /// Events that a person has voided. They stay void.
  public var voided = 0
  /// Clients with another outcome now: stage, score, level or risks.
  public var clients = 0
  public var actions = 0

  public init() {}

  /// How many events are not as the current rules want them.
  public var different: Int { changed + new + gone }

  mutating func add(_ other: RemapCounts) {
    messages += other.messages
    unchanged += other.unchanged
    changed += other.changed
    fields.merge(other.fields, uniquingKeysWith: +)
    new += other.new
    gone += other.gone
    rejected.merge(other.rejected, uniquingKeysWith: +)
    redacted += other.redacted
    unresolved += other.unresolved
    voided += other.voided
    clients += other.clients
    actions += other.actions
  }
}

/// One difference, for the display.
public struct RemapDifference: Sendable {
  public enum Kind: String, Sendable { case changed, new, gone }

  public var kind: Kind
  public var source: String
  public var sourceEventID: String
  /// The type of now; of a gone event nil.
  public var type: String?
  public var fields: [RemapCounts.Field]
}
