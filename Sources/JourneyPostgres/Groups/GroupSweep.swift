import FoundationEssentials
import Journey
import PostgresClient
import Synchronization

/// How far the sweep of the groups has come.
final class GroupSweep: Sendable {
  private struct State {
    /// The group that was looked at last; nil: no pass is under way.
    var last: GroupKey?
    var startedAt: Timestamp?
  }

  private static let first = GroupKey(
    orgID: UUID.zero, source: "", groupID: "")
  private let state = Mutex(State())

  /// - Returns: the group after which to go on; nil: it is not time yet.
  func next(at now: Timestamp, every interval: TimeSpan) -> GroupKey? {
    state.withLock { state in
      if let last = state.last { return last }
      if let startedAt = state.startedAt, startedAt <= now, now < startedAt + interval { return nil }
      state.startedAt = now
      state.last = Self.first
      return state.last
    }
  }

  /// - Parameter last: the group that was looked at last; nil: there are no more.
  func advance(to last: GroupKey?) { state.withLock { $0.last = last } }
}

extension PostgresEventStore {
  private static let groupsPerSweep: Int64 = 1_000

  /// Makes groups due whose events somebody gets unnoticed, at the start and every ten minutes. Looks at a bounded
  /// number of groups; the next call goes on from there.
  func sweepGroups() async {
    guard let after = sweep.next(at: clock.now(), every: .seconds(600)) else { return }
    do throws(StoreError) {
      sweep.advance(to: try await lastGroup(sweptAfter: after))
    } catch {
      // The next call tries again.
    }
  }

  private func lastGroup(sweptAfter key: GroupKey) async throws(StoreError) -> GroupKey? {
    try await onControl { connection in
      let found = try connection.execute(GroupStatements.sweep, key.parameters { $0.int8(Self.groupsPerSweep) })
      guard found.rowCount > 0 else { return nil }
      return GroupKey(orgID: try found.uuid(0, 0), source: try found.text(0, 1), groupID: try found.text(0, 2))
    }
  }
}
