import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import TestServers
import TestSupport
import Testing

/// Event types that no rule names, as they are stored.
@Suite struct UnlistedTests: CommitTesting {
  private func type(_ type: String, _ count: Int, at seconds: Int64, sample: String? = nil) -> UnlistedType {
    UnlistedType(
      source: "stripe", type: type, count: count, lastSeen: SystemClock().now() + .seconds(seconds), orgID: nil,
      sample: sample.map { Array($0.utf8) })
  }

  @Test func countsAddUpAndTheFirstSampleStays() async throws {
    try await withStores(rules: [DecisionRules()]) { _, worker in
      let repository = UnlistedRepository(worker: worker, sampleDays: 30)
      try await repository.add([type("a", 2, at: 0, sample: "one"), type("b", 1, at: 5)])
      try await repository.add([type("a", 3, at: 10, sample: "two"), type("b", 1, at: -5, sample: "later")])
      let types = try await repository.list(source: "stripe", since: nil)
      #expect(types.map(\.type) == ["a", "b"] && types.map(\.count) == [5, 2])
      #expect(try await repository.sample(source: "stripe", type: "a") == Array("one".utf8))
      #expect(try await repository.sample(source: "stripe", type: "b") == Array("later".utf8))
      #expect(try await repository.list(source: "hubspot", since: nil).isEmpty)
      #expect(try await repository.list(source: nil, since: SystemClock().now() + .days(1)).isEmpty)
    }
  }

  @Test func typesOfASourceAreBoundedAndForgotten() async throws {
    try await withStores(rules: [DecisionRules()]) { _, worker in
      let repository = UnlistedRepository(worker: worker, sampleDays: 30)
      try await repository.add((0..<1000).map { type("t\($0)", 1, at: 0) })
      try await repository.add([type("t1", 1, at: 1), type("new", 1, at: 1)])
      let types = try await repository.list(source: nil, since: nil)
      #expect(types.count == 1000 && types.first?.type == "t1" && types.first?.count == 2)
      try await worker.run("UPDATE journey_unlisted SET last_seen_at = now() - interval '91 days' WHERE type <> 't1'")
      try await repository.add([type("new", 1, at: 1)])
      #expect(try await repository.list(source: nil, since: nil).map(\.type).sorted() == ["t1"])
      try await repository.add([type("new", 1, at: 1)])
      #expect(try await repository.list(source: nil, since: nil).map(\.type).sorted() == ["new", "t1"])
    }
  }

  @Test func oldSamplesAreDeletedAndTheCountsStay() async throws {
    try await withStores(rules: [DecisionRules()]) { _, worker in
      let repository = UnlistedRepository(worker: worker, sampleDays: 30)
      try await repository.add([type("a", 2, at: 0, sample: "one"), type("b", 1, at: 5, sample: "two")])
      try await worker.run(
        "UPDATE journey_unlisted SET sampled_at = now() - interval '1 day' * CASE type WHEN 'a' THEN 31 ELSE 29 END")
      try await repository.forget()
      let types = try await repository.list(source: nil, since: nil)
      #expect(types.map(\.type) == ["b", "a"] && types.map(\.count) == [1, 2])
      #expect(types.map(\.hasSample) == [true, false])
      try await repository.add([type("a", 1, at: 10, sample: "three"), type("b", 1, at: 5, sample: "four")])
      #expect(try await repository.sample(source: "stripe", type: "a") == Array("three".utf8))
      #expect(try await repository.sample(source: "stripe", type: "b") == Array("two".utf8))
      // They are turned off.
      try await UnlistedRepository(worker: worker, sampleDays: 0).forget()
      #expect(try await repository.list(source: nil, since: nil).map(\.hasSample) == [false, false])
    }
  }
}
