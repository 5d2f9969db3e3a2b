public import Journey

/// Whether, how and for how long the raw bodies of messages are kept.
public struct RawBodies: Sendable {
  /// nil: none are kept any more, and those that were are deleted.
  public var writer: (any RawMessageWriter)?
  public var retentionDays: Int

  public init(writer: (any RawMessageWriter)?, retentionDays: Int) {
    self.writer = writer
    self.retentionDays = retentionDays
  }
}
