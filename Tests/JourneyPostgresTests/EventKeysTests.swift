import FoundationEssentials
import Journey
import Testing

@testable import JourneyPostgres

@Suite struct EventKeysTests {
  private func event(_ org: UUID, _ source: String, _ id: String) -> IncomingEvent {
    IncomingEvent(
      id: UUID(),
      event: JourneyEvent(
        orgID: org, source: source, sourceEventID: id, client: ClientReference(externalID: "c"), type: "t", stage: nil,
        occurredAt: Timestamp(seconds: 0), metadata: []),
      signals: Signals())
  }

  @Test func keysAreOrderedByBytesAndEqualKeysByPosition() {
    let orgs = [UUID(), UUID()], sources = ["", "a", "ab", "b", "\u{0}", "\u{e9}", "e\u{301}"],
      ids = ["", "1", "10", "2", "b", "evt_00000001", "evt_00000002"]
    var events: [IncomingEvent] = []
    for org in orgs {
      for source in sources { for id in ids { events += [event(org, source, id), event(org, source, id)] } }
    }
    events.shuffle()
    func key(_ place: Int) -> [[UInt8]] {
      let event = events[place].event
      return [
        withUnsafeBytes(of: event.orgID.uuid) { Array($0) }, Array(event.source.utf8), Array(event.sourceEventID.utf8),
      ]
    }
    func precedes(_ a: [[UInt8]], _ b: [[UInt8]]) -> Bool {
      for (a, b) in zip(a, b) where a != b { return a.lexicographicallyPrecedes(b) }
      return false
    }
    let keys = EventKeys(events)
    let wanted = events.indices.sorted { precedes(key($0), key($1)) || key($0) == key($1) && $0 < $1 }
    #expect(keys.sorted(Array(events.indices)) == wanted)
    for a in events.indices.prefix(40) { for b in events.indices { #expect(keys.isSame(a, b) == (key(a) == key(b))) } }
  }
}
