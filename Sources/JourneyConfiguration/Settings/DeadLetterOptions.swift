/// `deadLetters.…`: which dead letters are archived, and for how long.
public struct DeadLetterOptions: Sendable {
  /// Headers that contain credentials or signatures. A star matches any text; case does not matter.
  public static let redactedHeaders = [
    "authorization", "proxy-authorization", "cookie", "set-cookie", "*api-key*", "*api_key*", "*apikey*", "*token*",
    "*secret*", "*password*",
    "*credential*", "*signature*", "*hmac*", "*session*",
  ]

  public let isArchived: Bool
  public let maxBodyBytes: Int
  public let redactHeaders: [String]
  public let retentionDays: Int
  public let openRetentionDays: Int

  /// - Parameter maxReadBytes: `ingest.maximumBodyBytes`.
  init(_ read: SettingsReader, maxReadBytes: Int) {
    isArchived = read.boolean(
      "deadLetters.archive", true,
      "archive dead letters in the database, for `journey dlq`; false: they stay in their queue")
    maxBodyBytes = read.integer(
      "deadLetters.maximumBodyBytes", 8 << 20, 1024...(128 << 20), unit: .bytes,
      "of a larger body only the first 64 KiB are archived, and it cannot be replayed; at least `ingest.maximumBodyBytes`"
    )
    redactHeaders = read.list(
      "deadLetters.redactHeaders", Self.redactedHeaders,
      "headers whose values are not archived; a star matches any text, case does not matter; your list replaces this one"
    )
    retentionDays = read.integer(
      "deadLetters.retentionDays", 90, 0...36_500, unit: .days,
      "replayed and discarded dead letters are deleted after this; 0: never")
    openRetentionDays = read.integer(
      "deadLetters.openRetentionDays", 0, 0...36_500, unit: .days, "open dead letters are deleted after this; 0: never")
    if maxBodyBytes < maxReadBytes {
      read.report(
        "deadLetters.maximumBodyBytes: \(maxBodyBytes) is less than ingest.maximumBodyBytes (\(maxReadBytes)): dead letters that could be replayed would be cut"
      )
    }
  }
}
