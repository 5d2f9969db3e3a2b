public import FoundationEssentials

/// Where a message came from and when, as its raw body is kept with it.
public struct RawOrigin: Sendable {
  /// The source whose mapping read the message.
  public var source: String
  /// The organisation that the message names outside of its body.
  public var orgID: UUID?
  /// When the adapter first received it. A retry keeps the time of the first attempt.
  public var receivedAt: Timestamp
  /// When it was mapped; its limits depend on it.
  public var mappedAt: Timestamp
  /// Whether it may have been processed before: a redelivery or a retry.
  public var isRepeated: Bool
  /// The size of the body.
  public var bytes: Int

  public init(
    source: String, orgID: UUID?, receivedAt: Timestamp, mappedAt: Timestamp, isRepeated: Bool = false, bytes: Int
  ) {
    self.source = source
    self.orgID = orgID
    self.receivedAt = receivedAt
    self.mappedAt = mappedAt
    self.isRepeated = isRepeated
    self.bytes = bytes
  }
}

/// Writes messages in the form in which they are kept, so that they can be mapped again; implemented by the adapter of
/// their source.
public protocol RawMessageWriter: Sendable {
  /// Appends a message to a buffer.
  /// - Returns: false if there is nothing to keep. Nothing is appended then.
  func append(_ message: InboundMessage, to buffer: inout [UInt8]) -> Bool
}

/// Maps kept messages by the current rules; implemented by the adapter of their source.
public protocol RawMessageMapper: Sendable {
  /// - Returns: nil if this version does not read the record.
  func map(_ record: ArraySlice<UInt8>) -> RemappedMessage?
}

/// What the current rules make of a kept message.
public struct RemappedMessage: Sendable {
  public var origin: RawOrigin
  public var events: [IncomingEvent]
  public var rejections: [Rejection]
  /// Whether the rules read a value that was redacted before the message was kept, so that the result means nothing.
  public var readsRedacted: Bool

  public init(origin: RawOrigin, events: [IncomingEvent], rejections: [Rejection], readsRedacted: Bool = false) {
    self.origin = origin
    self.events = events
    self.rejections = rejections
    self.readsRedacted = readsRedacted
  }
}
