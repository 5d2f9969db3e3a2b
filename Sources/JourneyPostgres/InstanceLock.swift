import PostgresClient
import Synchronization

/// The advisory lock that shows other instances that this process is alive. It belongs to a database session: it is
/// released when the process ends, and has to be taken again after a reconnect.
final class InstanceLock: Sendable {
  /// The first key of all instance locks. No other advisory lock of the adapter uses it.
  static let keyClass: Int32 = 0x4a4f_5552

  /// A number that no process has.
  static let nobody: Int32 = 0

  /// The number of this process, from the sequence `journey_instances`.
  let instance: Int32
  /// The serial of the connection whose session holds the lock. A backend's process id would not do: the server may
  /// reuse it after a restart.
  private let holder: Mutex<UInt64>

  /// Takes a number that no live process has.
  init(on connection: PostgresConnection) throws {
    while true {
      let number = Int32(truncatingIfNeeded: try connection.execute(Self.next).int64(0, 0))
      guard try Self.tryLock(number, on: connection) else { continue }
      instance = number
      holder = Mutex(connection.serial)
      return
    }
  }

  /// Takes the lock again after a reconnect. If the old session has not ended yet, it still holds the lock for this
  /// process, and a later call takes it.
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
