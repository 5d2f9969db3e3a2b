/// What has to come out of what is sent, in numbers.
struct ExpectedCounts {
  /// Events of the stories.
  let published: Int
  private(set) var stored: Int
  let duplicates: Int
  let deadLetters: Int

  init(_ events: StoryEvents, _ scenario: Scenario) {
    published = events.count
    // One body of HubSpot holds a good event beside the one that is no use.
    stored = events.count + 1
    duplicates = events.repeated.map(\.lines.count).reduce(0, +)
    // One for each message.
    deadLetters = scenario.unusable.map(\.lines.count).reduce(0, +)
  }

  /// Events that came later.
  mutating func add(_ events: Int) { stored += events }

  /// Compares them with those that the adapter has logged.
  /// - Throws: `DemoFailure`.
  func check(_ adapter: Adapter, _ console: Console) throws {
    let counts = adapter.finalCounts
    console.detail("the adapter says: \(counts.joined(separator: " "))")
    for expected in ["stored=\(stored)", "rejected=\(deadLetters)", "duplicates=\(duplicates)"] {
      guard counts.contains(where: { $0 == expected }) else {
        throw DemoFailure("the adapter does not say \(expected)")
      }
    }
  }
}
