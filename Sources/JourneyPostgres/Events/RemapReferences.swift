import Journey
import PostgresClient

extension BatchCommit {
  /// Decides for events that name several ids or only a group whose they are: a stored event stays with its client, as
  /// long as that may be meant; any other is for whoever would get it now.
  /// - Returns: the messages with one reference in each event, and how many cannot be decided now: they are left out.
  func resolvingReferences(_ items: [RemapItem]) throws(PostgresError) -> (items: [RemapItem], unresolved: Int) {
    let events = items.flatMap(\.events)
    guard ReferenceChoice.isNeeded(events) else { return (items, 0) }
    let choice = try ReferenceChoice(events, groupEvents, keepsOwners: true, on: connection)
    let chosen = Dictionary(uniqueKeysWithValues: choice.chosen.map { ($0.index, $0.event) })
    var resolved: [RemapItem] = []
    var first = 0
    for var item in items {
      let events = (first..<(first + item.events.count)).compactMap { chosen[$0] }
      first += item.events.count
      guard events.count == item.events.count else { continue }
      item.events = events
      resolved.append(item)
    }
    return (resolved, items.count - resolved.count)
  }
}
