/// `rawBodies.…`: which messages are kept as they came, and for how long.
public struct RawBodyOptions: Sendable {
  public let isOn: Bool
  public let retentionDays: Int
  public let keepsIgnored: Bool
  /// How long samples of unlisted event types are kept; 0: they are not.
  public var sampleDays: Int { isOn ? retentionDays : 0 }

  init(_ read: SettingsReader) {
    isOn = read.boolean(
      "rawBodies.keep", true,
      "keep messages as they came, for `journey events remap`; false: none are kept, and those that were are deleted")
    retentionDays = read.integer(
      "rawBodies.retentionDays", 30, 1...3650, unit: .days, "they are deleted after this")
    keepsIgnored = read.boolean(
      "rawBodies.ignored", true, "keep also messages of which no event is made: a later rule may make some")
  }
}
