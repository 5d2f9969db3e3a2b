public import FoundationEssentials
import Journey

/// The id by which a source knows a contact.
public struct SourceID: Hashable, Sendable {
  public var source: String
  public var id: String

  public init(source: String, id: String) {
    self.source = source
    self.id = id
  }
}

/// A contact as a file or a command line describes it.
public struct ContactRow: Hashable, Sendable {
  /// From 1.
  public var line: Int
  public var id: UUID?
  public var name: String?
  public var email: String?
  public var phone: String?
  /// The IANA name of the time zone.
  public var timeZone: String?
  public var sourceIDs: [SourceID] = []

  public init(line: Int) { self.line = line }

  /// What is wrong with the values themselves; nil if nothing is.
  public var fault: ContactFault? {
    let limits = EventLimits(now: .startOf2000)
    let texts =
      [("name", name), ("email", email), ("phone", phone), ("time_zone", timeZone)]
      + sourceIDs.map { ("\($0.source):id", $0.id) }
      + sourceIDs.map { ("source", $0.source) }
    for (field, text) in texts {
      if let text, let fault = limits.fault(of: text) { return ContactFault(line, field, text, fault) }
    }
    if let email {
      let parts = email.split(separator: "@", omittingEmptySubsequences: false)
      guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }), !email.contains(where: \.isWhitespace) else {
        return ContactFault(line, "email", email, "is not an e-mail address")
      }
    }
    guard id != nil || email != nil || !sourceIDs.isEmpty else {
      return ContactFault(line, "email", nil, "a contact needs an email, an id or a source's id, to be found again by")
    }
    return nil
  }
}

/// Why a contact was not stored.
public struct ContactFault: Hashable, Sendable, Encodable {
  public var line: Int
  public var field: String
  public var value: String?
  public var message: String

  public init(_ line: Int, _ field: String, _ value: String?, _ message: String) {
    self.line = line
    self.field = field
    self.value = value
    self.message = message
  }
}

/// The result of an import.
public struct ContactReport: Hashable, Sendable {
  public var added = 0
  public var updated = 0
  public var unchanged = 0
  /// Contacts that are stored with other values, which were left as they are.
  public var different = 0
  /// Ids of sources that were linked.
  public var linked = 0
  public var faults: [ContactFault] = []
  /// The client of the last row that was stored.
  public var lastClient: UUID?

  public init() {}

  static func += (left: inout ContactReport, right: ContactReport) {
    left.added += right.added
    left.updated += right.updated
    left.unchanged += right.unchanged
    left.different += right.different
    left.linked += right.linked
    left.faults += right.faults
    left.lastClient = right.lastClient ?? left.lastClient
  }
}
