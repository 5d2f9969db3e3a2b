import FoundationEssentials
import Journey
import Logging
import Testing

@testable import JourneyAPI

private struct NoReader: JourneyReader {
  func read(_ query: JourneyQuery, for caller: Caller) async throws(StoreError) -> [UInt8]? { nil }
  func organizations(of caller: Caller) async throws(StoreError) -> Set<UUID> { [] }
  func organization(ofClient client: UUID, for caller: Caller) async throws(StoreError) -> UUID? { nil }
  func action(_ id: UUID, for caller: Caller) async throws(StoreError) -> StandingAction? { nil }
}

private struct NoFeed: ChangeFeed {
  func notify(_ changes: [JourneyChange]) async throws {}
  func listen(_ receive: @escaping @Sendable (JourneyChange) -> Void) async throws {}
}

@Suite struct LivePlaceTests {
  private let broadcaster = ChangeBroadcaster(
    feed: NoFeed(), reader: NoReader(), clock: SystemClock(), most: 1, maxOfUser: 1, maxOfPeer: 1,
    logger: Logger(label: "test"))
  private let caller = Caller(
    subject: UUID(), claims: [], isOperator: false, expiresAt: Timestamp(seconds: 4_000_000_000))

  private func watch() throws -> ChangeBroadcaster.Watching {
    try broadcaster.watch([], for: caller, at: Peer([127, 0, 0, 1])) {}
  }

  /// A connection that ends before the answer's head is written: the answer is let go of, and its body is never asked
  /// for.
  @Test func aStreamThatIsNeverWrittenReleasesItsSlot() throws {
    for _ in 1...3 { _ = try watch() }
  }

  @Test func aSlotIsReleasedOnce() throws {
    var first: ChangeBroadcaster.Watching? = try watch()
    #expect(throws: Problem.self, "one place there is") { _ = try watch() }
    first?.unsubscribe()
    let second = try watch()
    first?.unsubscribe()
    first = nil
    #expect(throws: Problem.self, "the second keeps its place") { _ = try watch() }
    second.unsubscribe()
    _ = try watch()
  }
}
