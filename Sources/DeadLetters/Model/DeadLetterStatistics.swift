public import Journey

/// How many dead letters there are, by state, reason, source, type and age.
public struct DeadLetterStatistics: Hashable, Sendable {
  public struct Group: Hashable, Sendable, Encodable {
    public var name: String
    public var count: Int
    public var oldest: Timestamp
    public var newest: Timestamp
  }

  /// Dead letters in each state, whatever states the filter selects.
  public var states: [DeadLetterState: Int]
  /// Of the dead letters that the filter selects, the most frequent first.
  public var codes: [Group]
  public var sources: [Group]
  public var types: [Group]
  /// By the time since the latest failure, the youngest first.
  public var ages: [Group]

  /// All states with their counts, in the order of a dead letter's life.
  public var stateCounts: JSONObject {
    JSONObject(DeadLetterState.allCases.map { ($0.rawValue, states[$0] ?? 0) })
  }
}
