public import FoundationEssentials
public import Journey
import Synchronization

/// A source of an organisation, from which events come.
public struct Feed: Hashable, Sendable {
  public var orgID: UUID
  public var source: String

  public init(orgID: UUID, source: String) {
    self.orgID = orgID
    self.source = source
  }
}

/// Which feeds this process has heard since that was last stored, and which organisations are frozen because a feed of
/// theirs fell silent. Bounded; safe to use from any thread.
public final class FeedActivity: Sendable {
  private struct State {
    var heard: Set<Feed> = []
    var frozen: [UUID: Timestamp] = [:]
    var listeningSince: Timestamp?
  }
  /// Feeds that are remembered until they are stored. Senders may choose sources, so their number has to end somewhere.
  private static let limit = 20_000

  private let state = Mutex(State())

  public init() {}

  /// Events have arrived, of whatever time, but not as history.
  public func hear(_ events: [IncomingEvent]) {
    var last: Feed?
    // History that is loaded says nothing of whether the source is heard now.
    for event in events.lazy.filter({ !$0.isBackfill }).map(\.event) {
      if let last, last.orgID == event.orgID, last.source == event.source { continue }
      let feed = Feed(orgID: event.orgID, source: event.source)
      last = feed
      // What people enter, what workers report, and what the adapter itself stores, has no rhythm.
      if PublisherPolicy.ownSources.contains(feed.source) { continue }
      state.withLock { if $0.heard.count < Self.limit { $0.heard.insert(feed) } }
    }
  }

  /// - Returns: what was heard since the last call.
  public func removeAll() -> Set<Feed> {
    state.withLock { state in
      defer { state.heard = [] }
      return state.heard
    }
  }

  /// Remembers again what could not be stored.
  public func restore(_ feeds: Set<Feed>) { state.withLock { $0.heard.formUnion(feeds) } }

  /// Up to when the time is stored during which this process consumed; nil: it did not.
  var listeningSince: Timestamp? {
    get { state.withLock(\.listeningSince) }
    set { state.withLock { $0.listeningSince = newValue } }
  }

  /// The organisations whose time stands still for risks that come from silence, each with the moment since when.
  public var frozen: [UUID: Timestamp] {
    get { state.withLock(\.frozen) }
    set { state.withLock { $0.frozen = newValue } }
  }
}
