import TestSupport
import FoundationEssentials
import Journey
import JourneyPostgres
import Testing

@testable import DeadLetters

@Suite struct DeadLetterRepositoryTests {
  private static let org = UUID()

  private func stage(_ body: (DeadLetterFixture) async throws -> Void) async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store([
        .test(1, failedAt: 100), .test(2, code: "unknown_client", failedAt: 200, source: "/billing"),
        .test(3, failedAt: 300, body: Array("bytes \u{1F600} here".utf8) + [0xff]),
        .test(4, code: "missing_field", failedAt: 400, orgID: Self.org),
      ])
      try await body(stage)
    }
  }

  private func numbers(_ stage: DeadLetterFixture, _ change: (inout DeadLetterFilter) -> Void) async throws -> [String]
  {
    var filter = DeadLetterFilter()
    change(&filter)
    return try await stage.repository.list(filter, limit: 100, withBodies: false).compactMap(
      \.deadLetter.message.messageID
    )
    .sorted()
  }

  @Test func filtersNarrowItDown() async throws {
    try await stage { stage in
      let cases: [(expected: [String], change: (inout DeadLetterFilter) -> Void)] = [
        (["m1", "m2", "m3", "m4"], { _ in }), (["m2"], { $0.code = "unknown_client" }),
        (["m1", "m3", "m4"], { $0.source = "stripe" }),
        (
          ["m2", "m3"],
          {
            $0.type = "invoice.odd"
            $0.since = Timestamp(seconds: 200)
            $0.until = Timestamp(seconds: 400)
          }
        ), (["m4"], { $0.orgID = Self.org }), (["m3"], { $0.text = "REASON OF 3" }), (["m2"], { $0.text = "value 2" }),
        (["m3"], { $0.text = "s \u{1F600} h" }), ([], { $0.text = "%" }),
        ([], { $0.states = [.replayed, .discarded] }),
      ]
      for (index, item) in cases.enumerated() {
        let found = try await numbers(stage, item.change)
        #expect(found == item.expected, "case \(index)")
      }
    }
  }

  @Test func pagesMeetWithoutGapsOrRepeats() async throws {
    try await DeadLetterFixture.run { stage in
      _ = try await stage.archive.store((0..<57).map { .test($0) })
      var seen: [UUID] = []
      while true {
        let page = try await stage.repository.list(DeadLetterFilter(), before: seen.last, limit: 10, withBodies: false)
        if page.isEmpty { break }
        #expect(page.allSatisfy { $0.deadLetter.message.body.isEmpty })
        seen += page.map(\.id)
      }
      #expect(seen.count == 57)
      #expect(Set(seen).count == 57)
      #expect(seen == seen.sorted { $0 > $1 })
    }
  }

  @Test func statisticsCountByEachGroup() async throws {
    try await stage { stage in
      var open = DeadLetterFilter()
      open.states = [.new]
      let statistics = try await stage.repository.statistics(open)
      #expect(statistics.states == [.new: 4])
      #expect(statistics.codes.map(\.name) == ["unknown_type", "missing_field", "unknown_client"])
      #expect(statistics.codes.map(\.count) == [2, 1, 1])
      #expect(statistics.codes[0].oldest == Timestamp(seconds: 100))
      #expect(statistics.codes[0].newest == Timestamp(seconds: 300))
      #expect(statistics.sources.map(\.name) == ["stripe", "/billing"])
      #expect(statistics.ages.map(\.name) == ["a week and more"])
      // The states are those of what the filter means, whatever state it asks for.
      open.source = "/billing"
      #expect(try await stage.repository.countOpen(limit: 3) == 3)
      #expect(try await stage.repository.countOpen(limit: 10) == 4)
      #expect(try await stage.repository.discard(open, why: "test data") == 1)
      #expect(try await stage.repository.countOpen(limit: 10) == 3)
      #expect(try await stage.repository.statistics(open).states == [.discarded: 1])
    }
  }

  @Test func discardingTakesOpenDeadLettersAndSaysWhoAndWhy() async throws {
    try await stage { stage in
      var filter = DeadLetterFilter()
      filter.source = "stripe"
      #expect(try await stage.repository.discard(filter, why: "test data") == 3)
      #expect(try await stage.repository.discard(filter, why: "again") == 0)
      let open = try await stage.all([.new])
      #expect(open.map(\.deadLetter.message.messageID) == ["m2"])
      let deadLetter = try #require(try await stage.all([.discarded]).first)
      #expect(deadLetter.settledAt != nil)
      let history = try await stage.repository.history(of: deadLetter.id)
      #expect(history.count == 1)
      #expect(history[0].action == "discarded")
      #expect(history[0].actor == "ann")
      #expect(history[0].why == "test data")
    }
  }

  @Test func anotherArchiveTakesDeadLettersOverOnce() async throws {
    try await stage { stage in
      let deadLetters = try await stage.all()
      try await DeadLetterFixture.run { other in
        #expect(try await other.repository.insert(deadLetters) == 4)
        #expect(try await other.repository.insert(deadLetters) == 0)
        let claimed = try await other.all()
        #expect(claimed.map(\.deadLetter) == deadLetters.map(\.deadLetter))
        #expect(claimed.map(\.id) == deadLetters.map(\.id))
        #expect(try await other.repository.history(of: claimed[0].id).map(\.action) == ["imported"])
      }
    }
  }
}
