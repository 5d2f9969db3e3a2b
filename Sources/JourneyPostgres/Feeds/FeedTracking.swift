import FoundationEssentials
public import Journey
import PostgresClient

/// What storing the feeds that were heard has changed.
public struct FeedChanges: Sendable {
  /// Feeds that fell silent, and since when: risks from silence are frozen for their organisations.
  public var frozen: [Feed: Timestamp] = [:]
  /// Feeds that were frozen and are not any more: they were heard, forgotten or given up.
  public var released: [Feed] = []
}

extension PostgresEventStore {
  /// The most that one call counts as time of listening: a longer pause between two calls was a failure.
  public static let maxListeningStep = TimeSpan.seconds(180)

  /// Stores which feeds were heard since the last call, freezes those that fell silent, and reads which organisations
  /// are frozen. To be called about every minute.
  /// - Parameters:
  ///   - isListening: whether this instance consumes, so that it would hear what comes.
  ///   - maxStep: the most that counts as time of listening since the last call.
  ///   - offset: added to the database's clock; nil: as for evaluations.
  public func updateFeeds(
    isListening: Bool, maxStep: TimeSpan = maxListeningStep, at offset: TimeSpan? = nil
  ) async throws(StoreError) -> FeedChanges {
    guard let rule = decider.rules.feedOutage else { return FeedChanges() }
    let heard = feeds.removeAll()
    let sorted = heard.sorted { ($0.orgID, $0.source) < ($1.orgID, $1.source) }
    let (offset, since) = ((offset ?? clockOffset).microseconds, feeds.listeningSince)
    do throws(StoreError) {
      let (now, before, after) = try await onControl { connection in
        let listening = PostgresParameters {
          $0.int8(offset)
          $0.timestamptz(isListening ? since?.microseconds : nil)
          $0.int8(maxStep.microseconds)
        }
        let hearing = PostgresParameters {
          $0.int8(offset)
          $0.uuids(sorted) { $0.orgID }
          $0.texts(sorted) { $0.source }
        }
        let answers = try connection.pipeline([
          (.begin, PostgresParameters()), (FeedStatements.listen, listening),
          (FeedStatements.frozen, PostgresParameters()), (FeedStatements.hear, hearing),
          (FeedStatements.freeze, FeedStatements.freeze(rule)),
          (FeedStatements.forgetOld, PostgresParameters { $0.int8(offset) }),
          (FeedStatements.frozen, PostgresParameters()), (.commit, PostgresParameters()),
        ])
        return (
          Timestamp(microseconds: try answers[1].timestamp(0, 0)), try Self.frozenFeeds(answers[2]),
          try Self.frozenFeeds(answers[6])
        )
      }
      feeds.listeningSince = isListening ? now : nil
      setFrozen(after)
      return FeedChanges(
        frozen: after.filter { before[$0.key] == nil }, released: before.keys.filter { after[$0] == nil })
    } catch {
      feeds.restore(heard)
      throw error
    }
  }

  /// Reads which organisations are frozen.
  func readFeeds() async throws(StoreError) {
    guard decider.rules.feedOutage != nil else { return }
    setFrozen(
      try await onControl { connection in
        try Self.frozenFeeds(connection.execute(FeedStatements.frozen, PostgresParameters()))
      })
  }

  private func setFrozen(_ found: [Feed: Timestamp]) {
    feeds.frozen = Dictionary(found.map { ($0.key.orgID, $0.value) }, uniquingKeysWith: min)
  }

  private static func frozenFeeds(_ result: PostgresResult) throws(PostgresError) -> [Feed: Timestamp] {
    var found: [Feed: Timestamp] = [:]
    for row in 0..<result.rowCount {
      let feed = Feed(orgID: try result.uuid(row, 0), source: try result.text(row, 1))
      found[feed] = Timestamp(microseconds: try result.timestamp(row, 2))
    }
    return found
  }
}
