public import FoundationEssentials

/// A replay as a person asks for it.
public struct ReplayRequest: Hashable, Sendable {
  public var filter: DeadLetterFilter
  /// The filter as it was given, a JSON object, for the record.
  public var filterText: [UInt8]
  /// A JSON patch (RFC 6902) for the bodies.
  public var edit: [UInt8]?
  /// Letters a second; nil: as fast as the broker confirms.
  public var rate: Double?
  public var why: String?
  /// Also letters that have failed the same way three times in a row or more.
  public var isForced: Bool

  public init(
    filter: DeadLetterFilter, filterText: [UInt8], edit: [UInt8]?, rate: Double?, why: String?, isForced: Bool
  ) {
    self.filter = filter
    self.filterText = filterText
    self.edit = edit
    self.rate = rate
    self.why = why
    self.isForced = isForced
  }
}

/// Why an operation was not done.
public enum OperationsError: Error, Hashable, Sendable {
  /// What was asked for makes no sense: the member in question, and why.
  case invalid(field: String, String)
  /// Something else is under way.
  case busy(String)
  case unavailable(String)
}

/// What operations people do, over all organisations. Answers are JSON objects, laid out as `contracts/openapi.yaml`
/// says.
public protocol OperationsService: Sendable {
  /// Throughput, lag, how many dead letters there are in each state, and those in one state by reason.
  func overview(of deadLetters: DeadLetterState) async throws(OperationsError) -> [UInt8]
  /// A page of letters, the newest first.
  func deadLetters(_ filter: DeadLetterFilter, before: UUID?, limit: Int) async throws(OperationsError) -> [UInt8]
  /// One letter with its message, what the mapping makes of it now, and its history; nil where there is none.
  func deadLetter(_ id: UUID) async throws(OperationsError) -> [UInt8]?
  /// Takes letters and starts to publish them again.
  func startReplay(_ request: ReplayRequest, by actor: String) async throws(OperationsError) -> [UInt8]
  /// A replay that this process started, with its progress.
  func replay(_ id: Int) async throws(OperationsError) -> [UInt8]?
  /// Sets letters aside for good.
  /// - Returns: how many there were.
  func discard(_ filter: DeadLetterFilter, why: String, by actor: String) async throws(OperationsError) -> Int
}
