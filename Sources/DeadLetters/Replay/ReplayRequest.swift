import FoundationEssentials
public import Journey

/// A replay as an operator requests it.
public struct ReplayRequest: Hashable, Sendable {
  /// How often in a row a dead letter may fail the same way before a replay that is not forced skips it.
  public static let loopGuard = 3

  public var filter: DeadLetterFilter
  /// Edits the bodies.
  public var edit: JSONPatch?
  /// Dead letters per second; nil: as fast as the broker confirms.
  public var rate: Double?
  /// The operator's reason, for the record.
  public var why: String?
  /// Whether the loop guard is off.
  public var isForced: Bool

  public init(
    filter: DeadLetterFilter, edit: JSONPatch? = nil, rate: Double? = nil, why: String? = nil, isForced: Bool = false
  ) {
    self.filter = filter
    self.edit = edit
    self.rate = rate
    self.why = why
    self.isForced = isForced
  }

  var loopGuard: Int? { isForced ? nil : Self.loopGuard }

  /// Larger bodies are skipped: they would come back as too large. An edit may make a body smaller.
  public func maxBodyBytes(_ maxBodyBytes: Int) -> Int {
    edit == nil ? maxBodyBytes : max(maxBodyBytes, JSONLimits().maxBytes)
  }
}

/// How many dead letters a replay would publish, and how many of the others it would skip.
public struct ReplayCount: Hashable, Sendable {
  public var claimed: Int
  /// Those that the loop guard skips.
  public var held: Int
  public var tooLarge: Int
}

/// A replay that has not finished.
public struct OpenReplay: Hashable, Sendable {
  public var id: Int
  public var actor: String
  public var startedAt: Timestamp
  /// Dead letters that it has claimed and not finished.
  public var remaining: Int
  public var edit: JSONPatch?
  public var rate: Double?
  public var why: String?
  /// Whether a process is running it now.
  public var isUnderWay: Bool
}

/// Another process runs this replay.
public struct ReplayBusy: Error, Hashable, Sendable, CustomStringConvertible {
  public var id: Int
  public var description: String { "replay \(id) is run by another process" }
}

extension DeadLetterFilter {
  /// As the record of a replay keeps it.
  var record: JSONObject {
    [
      "code": code, "source": source, "type": type, "org": orgID, "since": since, "until": until, "text": text,
      "state": states.isEmpty ? "all" : states.map(\.rawValue).joined(separator: ", "), "ids": ids.isEmpty ? nil : ids,
    ]
  }
}
