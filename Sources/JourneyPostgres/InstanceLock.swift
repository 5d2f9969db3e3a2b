import PostgresClient
import Synchronization

/// The advisory lock by which other instances see that this process lives. It belongs to a session of the database, so
/// it is gone with the process, and has to be taken again when the session was lost.
final class InstanceLock: Sendable {
  /// The first key of the locks of instances; any other use of advisory locks has another one.
  static let keyClass: Int32 = 0x4a4f_5552

  /// No process has this number.
  static let nobody: Int32 = 0

  /// The number of this process, from the sequence `journey_instances`.
  let instance: Int32
  /// The connection whose session holds the lock. Not by the backend's process id: a server that was restarted may give
  /// the same one again.
  private let holder: Mutex<UInt64>

  /// Takes a number that no living process has.
  init(on connection: PostgresConnection) throws {
    while true {
      let number = Int32(truncatingIfNeeded: try connection.execute(Self.next).int64(0, 0))
      guard try Self.tryLock(number, on: connection) else { continue }
      instance = number
      holder = Mutex(connection.serial)
      return
    }
  }

  /// Takes the lock for this connection's session where another one held it. The old session may not have ended yet;
  /// then the lock is still held for this process, and is taken at a later call.
  func renew(on connection: PostgresConnection) throws {
    guard holder.withLock({ $0 != connection.serial }), try Self.tryLock(instance, on: connection) else { return }
    holder.withLock { $0 = connection.serial }
  }

  private static func tryLock(_ instance: Int32, on connection: PostgresConnection) throws -> Bool {
    try connection.execute(
      lock,
      PostgresParameters {
        $0.int4(keyClass)
        $0.int4(instance)
      }
    ).bool(0, 0)
  }

  private static let next = PostgresStatement(name: "next_instance", "SELECT nextval('journey_instances')")
  private static let lock = PostgresStatement(name: "lock_instance", "SELECT pg_try_advisory_lock($1::int4, $2::int4)")
}
