public import FoundationEssentials
public import Journey
public import PostgresClient
import Synchronization

/// The row that shows that this process runs, and from which it learns whether its consuming is paused.
///
/// The name belongs to the instance, and outlives its process: so does a pause. An advisory lock guards it, which ends
/// with the database session: a process that was killed does not keep its successor from the name. Where the name is
/// taken, `NAME-2` is, and so on. On a connection of its own, whose thread waits for NOTIFY.
public final class InstanceLease: Sendable {
  /// How the process is, for others to see.
  public struct Report: Hashable, Sendable {
    public var state: InstanceState
    /// Messages that are received and not settled.
    public var inHand: Int
    /// The newest order that is carried out.
    public var obeyed: Int64
    /// The holds that are carried out.
    public var holds: Set<Int64>

    public init(state: InstanceState, inHand: Int, obeyed: Int64, holds: Set<Int64> = []) {
      self.state = state
      self.inHand = inHand
      self.obeyed = obeyed
      self.holds = holds
    }
  }

  /// What holds for this instance after a renewal.
  public struct Orders: Sendable {
    /// The newest order to pause or resume; nil: there was none.
    public var pause: PauseOrder?
    /// The open holds.
    public var holds: [Hold]
  }

  private struct Held {
    var instance: String
    /// The serial of the connection.
    var session: UInt64
    /// Whether this connection holds the lock of the name.
    var isLocked = true
  }

  private let worker: PostgresWorker
  private let name: String
  private let host: String
  private let version: String
  private let process: UUID
  private let held = Mutex<Held?>(nil)

  /// - Parameter worker: used by this lease alone.
  public init(worker: PostgresWorker, name: String, host: String, version: String, process: UUID) {
    self.worker = worker
    self.name = name
    self.host = host
    self.version = version
    self.process = process
  }

  /// nil before the first renewal.
  public var instance: String? { held.withLock { $0?.instance } }

  /// Renews the row, first taking a name where there is none yet.
  public func renew(_ report: Report) async throws(StoreError) -> Orders {
    try await withStoreErrors { [self] in
      try await worker.perform { [self] connection in
        var instance = try hold(on: connection)
        // Another process has taken the name while this one had no session.
        while try connection.execute(InstanceStatements.renew, parameters(report, instance)).affectedRows == 0 {
          held.withLock { $0 = nil }
          instance = try hold(on: connection)
        }
        // Read after the renewal is committed: who adds a hold that is not read here sees the renewed lease.
        let results = try connection.pipeline([
          (InstanceStatements.order, [.text(instance)]), (HoldStatements.open, []),
        ])
        return Orders(
          pause: try results[0].rowCount == 0 ? nil : PauseOrder(results[0], 0),
          holds: try (0..<results[1].rowCount).map { try Hold(results[1], $0) })
      }
    }
  }

  private func parameters(_ report: Report, _ instance: String) -> PostgresParameters {
    PostgresParameters {
      $0.text(instance)
      $0.uuid(process)
      $0.text(report.state.rawValue)
      $0.int4(Int32(clamping: report.inHand))
      $0.int8(report.obeyed)
      $0.int8s(report.holds.sorted()) { $0 }
    }
  }

  /// Waits for an order.
  /// - Returns: false when the time has passed without one.
  public func wait(_ limit: Duration) async throws(StoreError) -> Bool {
    try await withStoreErrors { [self] in
      try await worker.perform { connection in try !connection.notifications(within: limit).isEmpty }
    }
  }

  /// Deletes the row: the process ends.
  public func end() async {
    guard let instance else { return }
    try? await worker.perform { [process] connection in
      _ = try connection.execute(
        InstanceStatements.end,
        PostgresParameters {
          $0.text(instance)
          $0.uuid(process)
        })
    }
  }

  private func hold(on connection: PostgresConnection) throws(PostgresError) -> String {
    let before = held.withLock(\.self)
    if before?.session != connection.serial { try connection.execute("LISTEN journey_pauses") }
    if var before {
      if before.session != connection.serial { (before.session, before.isLocked) = (connection.serial, false) }
      // The old session may still hold the lock for this process, so each renewal tries again. The row says whether the
      // name is lost.
      if !before.isLocked { before.isLocked = try lock(before.instance, on: connection) }
      held.withLock { [before] in $0 = before }
      return before.instance
    }
    var number = 1
    while true {
      let instance = number == 1 ? name : "\(name)-\(number)"
      if try lock(instance, on: connection) {
        _ = try connection.execute(
          InstanceStatements.begin,
          PostgresParameters {
            $0.text(instance)
            $0.uuid(process)
            $0.text(host)
            $0.text(version)
          })
        held.withLock { $0 = Held(instance: instance, session: connection.serial) }
        return instance
      }
      number += 1
    }
  }

  private func lock(_ instance: String, on connection: PostgresConnection) throws(PostgresError) -> Bool {
    try connection.execute(InstanceStatements.lock, PostgresParameters { $0.text(instance) }).bool(0, 0)
  }
}
