import FoundationEssentials
import Journey
import PostgresClient

/// An event's unique key. Compared by bytes, as in the database.
struct EventKey: Hashable {
  private let bytes: [UInt8]
  let orgID: UUID
  let source: String
  let sourceEventID: String

  init(_ orgID: UUID, _ source: String, _ sourceEventID: String) {
    (self.orgID, self.source, self.sourceEventID) = (orgID, source, sourceEventID)
    bytes = Array(source.utf8) + [0] + Array(sourceEventID.utf8)
  }

  init(_ event: JourneyEvent) { self.init(event.orgID, event.source, event.sourceEventID) }

  static func == (a: EventKey, b: EventKey) -> Bool { a.orgID == b.orgID && a.bytes == b.bytes }

  func hash(into hasher: inout Hasher) {
    hasher.combine(orgID)
    hasher.combine(bytes)
  }
}

/// A stored event that a remap may change.
struct StoredEvent {
  var id: UUID
  var clientID: UUID
  var orgID: UUID
  var occurredAt: Timestamp
  var isVoided: Bool
  /// By a remap: its rules made nothing of the message. Other rules may.
  var isVoidedByRemap = false
  var fields: [RemapCounts.Field] = []
  var key: EventKey?
}

/// Compares what the current rules make of some messages with what is stored, and collects what to write. Pure.
///
/// A stored event belongs to the message that it was made of. Another message with the same key is a duplicate, as it
/// would have been in the first place.
struct RemapPlan {
  struct Rewrite {
    var stored: StoredEvent
    var newID: UUID
    var event: JourneyEvent
    var clientID: UUID
    /// The merged client that the event names.
    var originID: UUID?
  }
  /// What is known of an event of a message.
  struct Found {
    var client: Result<UUID, Rejection>
    /// The merged client that the event names.
    var originID: UUID?
    /// The event that is stored under its key.
    var stored: StoredEvent?
  }
  struct Addition {
    var incoming: IncomingEvent
    var clientID: UUID
    var originID: UUID?
  }

  private(set) var rewrites: [Rewrite] = []
  private(set) var additions: [Addition] = []
  private(set) var gone: [StoredEvent] = []
  /// The rows that messages have made again, with the messages' numbers.
  private(set) var owners: [(id: UUID, position: Int32)] = []
  private(set) var counts = RemapCounts()
  private(set) var differences: [RemapDifference] = []
  private var decided: Set<EventKey> = []
  /// The keys of events that are gone: another message may have them now.
  private var free: [EventKey: StoredEvent] = [:]

  /// The earliest change of each client.
  var clients: [UUID: Timestamp] {
    var clients: [UUID: Timestamp] = [:]
    func touch(_ id: UUID, _ at: Timestamp) { clients[id] = min(clients[id] ?? at, at) }
    for rewrite in rewrites {
      touch(rewrite.stored.clientID, rewrite.stored.occurredAt)
      touch(rewrite.clientID, rewrite.event.occurredAt)
    }
    for addition in additions { touch(addition.clientID, addition.incoming.event.occurredAt) }
    for event in gone { touch(event.clientID, event.occurredAt) }
    return clients
  }

  /// The merged clients that the events name, and the clients of their rows.
  var origins: [(origin: UUID, client: UUID?)] {
    (rewrites.map { ($0.originID, $0.clientID) } + additions.map { ($0.originID, $0.clientID) }).compactMap {
      (origin, client) in origin.map { ($0, client) }
    }
  }

  var isEmpty: Bool { rewrites.isEmpty && additions.isEmpty && gone.isEmpty }

  /// Plans all items. First what is gone, because another message of the same batch may have its key now.
  /// - Parameter byID: what was made of the messages.
  mutating func plan(_ items: [(item: RemapItem, found: [Found])], byID: [UUID: StoredEvent]) {
    for (item, found) in items {
      counts.messages += 1
      for code in item.rejections { counts.rejected[code.rawValue, default: 0] += 1 }
      let isUndecided = item.isUndecided || found.contains { if case .failure = $0.client { true } else { false } }
      guard !isUndecided else { continue }
      let keys = Set(item.events.map { EventKey($0.event) })
      for id in item.owned.sorted() {
        guard let stored = byID[id], !stored.isVoided, let key = stored.key, !keys.contains(key) else { continue }
        gone.append(stored)
        free[key] = stored
        counts.gone += 1
        differences.append(
          RemapDifference(kind: .gone, source: key.source, sourceEventID: key.sourceEventID, type: nil, fields: []))
      }
    }
    for (item, found) in items {
      for (incoming, found) in zip(item.events, found) {
        switch found.client {
        case .failure(let rejection): counts.rejected[rejection.code.rawValue, default: 0] += 1
        case .success(let clientID): plan(incoming, of: item, clientID, found)
        }
      }
    }
  }

  private mutating func plan(
    _ incoming: IncomingEvent, of item: RemapItem, _ clientID: UUID, _ found: Found
  ) {
    let key = EventKey(incoming.event)
    guard !decided.contains(key) else { return }
    guard let stored = found.stored else {
      decided.insert(key)
      additions.append(Addition(incoming: incoming, clientID: clientID, originID: found.originID))
      owners.append((incoming.id, item.position))
      return count(.new, incoming.event)
    }
    let isFree = free[key] != nil || stored.isVoided && stored.isVoidedByRemap
    if stored.isVoided, !stored.isVoidedByRemap {
      counts.voided += 1
      return
    }
    guard isFree || item.owned.contains(stored.id) else {
      counts.unchanged += 1
      return
    }
    decided.insert(key)
    if item.owned.contains(stored.id) {
      guard stored.isVoided || !stored.fields.isEmpty else {
        counts.unchanged += 1
        return
      }
      rewrites.append(
        Rewrite(
          stored: stored, newID: stored.id, event: incoming.event, clientID: clientID,
          originID: found.originID))
      count(.changed, incoming.event, stored.fields + (stored.isVoided ? [.voided] : []))
    } else {
      // A row of its own for another message's event: the row keeps the key, and gets another id.
      gone.removeAll { $0.id == stored.id }
      rewrites.append(
        Rewrite(
          stored: stored, newID: incoming.id, event: incoming.event, clientID: clientID,
          originID: found.originID))
      owners.append((incoming.id, item.position))
      count(.new, incoming.event)
    }
  }

  private mutating func count(
    _ kind: RemapDifference.Kind, _ event: JourneyEvent, _ fields: [RemapCounts.Field] = []
  ) {
    if kind == .new { counts.new += 1 } else { counts.changed += 1 }
    for field in fields { counts.fields[field, default: 0] += 1 }
    differences.append(
      RemapDifference(
        kind: kind, source: event.source, sourceEventID: event.sourceEventID, type: event.type, fields: fields))
  }
}
