import Configuration

/// What becomes of dead letters: `deadLetters.…`.
public struct DeadLetterOptions: Sendable {
  static let keys = ["archive", "maximumBodyBytes", "redactHeaders", "retentionDays", "openRetentionDays"]

  /// Headers that carry credentials, or prove that somebody has them. A star stands for any text; case does not count.
  public static let redactedHeaders = [
    "authorization", "proxy-authorization", "cookie", "set-cookie", "*api-key*", "*api_key*", "*apikey*", "*token*",
    "*secret*", "*password*",
    "*credential*", "*signature*", "*hmac*", "*session*",
  ]

  /// `deadLetters.archive`: whether `serve` takes the dead letters from their queue into the database.
  public var isArchived: Bool
  /// `deadLetters.maximumBodyBytes`: of a larger body only the beginning is archived. At least
  /// `ingest.maximumBodyBytes`, at most 128 MiB.
  public var maximumBodyBytes: Int
  /// `deadLetters.redactHeaders`: names of headers whose values are not archived; a star stands for any text.
  public var redactHeaders: [String]
  /// `deadLetters.retentionDays`: how long letters are kept that are replayed or discarded. 0: for ever.
  public var retentionDays: Int
  /// `deadLetters.openRetentionDays`: how long letters are kept that nobody has dealt with. 0: for ever.
  public var openRetentionDays: Int

  init(_ config: ConfigReader, int: (String, Int, ClosedRange<Int>) -> Int, bool: (String, Bool) -> Bool) {
    isArchived = bool("deadLetters.archive", true)
    maximumBodyBytes = int("deadLetters.maximumBodyBytes", 8 << 20, 1024...(128 << 20))
    redactHeaders = config.stringArray(forKey: "deadLetters.redactHeaders", default: Self.redactedHeaders).filter {
      !$0.isEmpty
    }
    retentionDays = int("deadLetters.retentionDays", 90, 0...36_500)
    openRetentionDays = int("deadLetters.openRetentionDays", 0, 0...36_500)
  }

  /// - Parameter largestRead: `ingest.maximumBodyBytes`.
  func problems(maxReadBytes: Int) -> [String] {
    guard maximumBodyBytes < maxReadBytes else { return [] }
    return [
      "deadLetters.maximumBodyBytes: \(maximumBodyBytes) is less than ingest.maximumBodyBytes (\(maxReadBytes)): letters that could be replayed would be cut"
    ]
  }
}
