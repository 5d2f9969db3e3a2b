public import FoundationEssentials
public import Journey

/// Why an operation was not done.
public enum OperationsError: Error, Hashable, Sendable {
  /// Something else is under way.
  case busy(String)
  case unavailable(String)
  /// A member of the order names something that does not exist or cannot be.
  case refused(member: String, String)
}

/// What operators see and do, over all organisations. Answers are JSON objects, laid out as `contracts/openapi.yaml`
/// says.
public protocol OperationsService: Sendable {
  /// Throughput, lag, how many dead letters there are in each state, and those in one state by reason.
  func overview(of deadLetters: DeadLetterState) async throws(OperationsError) -> [UInt8]
  /// A page of dead letters, the newest first.
  func deadLetters(_ filter: DeadLetterFilter, before: UUID?, limit: Int) async throws(OperationsError) -> [UInt8]
  /// A dead letter with its message, what the mapping makes of it now, and its history; nil if it does not exist.
  func deadLetter(_ id: UUID) async throws(OperationsError) -> [UInt8]?
  /// Claims dead letters and starts to publish them again.
  func startReplay(_ request: ReplayRequest, by actor: String) async throws(OperationsError) -> [UInt8]
  /// A replay that this process has started, with its progress.
  func replay(_ id: Int) async throws(OperationsError) -> [UInt8]?
  /// Discards open dead letters.
  /// - Returns: how many there were.
  func discard(_ filter: DeadLetterFilter, why: String, by actor: String) async throws(OperationsError) -> Int
  /// The holds of actions that are open, or whose actions are still to be decided again; the newest first.
  /// - Parameter all: also the others.
  func holds(all: Bool) async throws(OperationsError) -> [UInt8]
  /// Holds actions, and waits until the instances have confirmed or their leases have run out.
  func addHold(_ hold: Hold, until: Timestamp?, why: String, by actor: String) async throws(OperationsError) -> [UInt8]
  /// Ends a hold; nil if it is not open.
  /// - Parameter rate: how many clients a second are decided again; nil: 100.
  func releaseHold(_ id: Int64, rate: Double?, why: String?, by actor: String) async throws(OperationsError) -> [UInt8]?
}
