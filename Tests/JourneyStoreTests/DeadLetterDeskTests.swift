import FoundationEssentials
import Journey
import JourneyPipeline
import JourneyStore
import Testing

@Suite struct DeadLetterDeskTests {
  private static let org = UUID()

  private func stage(_ body: (LetterStage) async throws -> Void) async throws {
    try await LetterStage.run { stage in
      _ = try await stage.archive.store([
        .test(1, failedAt: 100), .test(2, code: "unknown_client", failedAt: 200, source: "/billing"),
        .test(3, failedAt: 300, body: Array("bytes \u{1F600} here".utf8) + [0xff]),
        .test(4, code: "missing_field", failedAt: 400, orgID: Self.org),
      ])
      try await body(stage)
    }
  }

  private func numbers(_ stage: LetterStage, _ change: (inout LetterFilter) -> Void) async throws -> [String] {
    var filter = LetterFilter()
    change(&filter)
    return try await stage.desk.list(filter, limit: 100, withBodies: false).compactMap(\.letter.message.messageID)
      .sorted()
  }

  @Test func filtersNarrowItDown() async throws {
    try await stage { stage in
      let cases: [(expected: [String], change: (inout LetterFilter) -> Void)] = [
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
    try await LetterStage.run { stage in
      _ = try await stage.archive.store((0..<57).map { .test($0) })
      var seen: [UUID] = []
      while true {
        let page = try await stage.desk.list(LetterFilter(), before: seen.last, limit: 10, withBodies: false)
        if page.isEmpty { break }
        #expect(page.allSatisfy { $0.letter.message.body.isEmpty })
        seen += page.map(\.id)
      }
      #expect(seen.count == 57)
      #expect(Set(seen).count == 57)
      #expect(seen == seen.sorted { $0 > $1 })
    }
  }

  @Test func statisticsCountByEachGroup() async throws {
    try await stage { stage in
      var open = LetterFilter()
      open.states = [.new]
      let statistics = try await stage.desk.statistics(open)
      #expect(statistics.states == [.new: 4])
      #expect(statistics.codes.map(\.name) == ["unknown_type", "missing_field", "unknown_client"])
      #expect(statistics.codes.map(\.count) == [2, 1, 1])
      #expect(statistics.codes[0].oldest == Timestamp(seconds: 100))
      #expect(statistics.codes[0].newest == Timestamp(seconds: 300))
      #expect(statistics.sources.map(\.name) == ["stripe", "/billing"])
      #expect(statistics.ages.map(\.name) == ["a week and more"])
      // The states are those of what the filter means, whatever state it asks for.
      open.source = "/billing"
      #expect(try await stage.desk.discard(open, why: "test data") == 1)
      #expect(try await stage.desk.statistics(open).states == [.discarded: 1])
    }
  }

  @Test func discardingTakesOpenLettersAndSaysWhoAndWhy() async throws {
    try await stage { stage in
      var filter = LetterFilter()
      filter.source = "stripe"
      #expect(try await stage.desk.discard(filter, why: "test data") == 3)
      #expect(try await stage.desk.discard(filter, why: "again") == 0)
      let open = try await stage.all([.new])
      #expect(open.map(\.letter.message.messageID) == ["m2"])
      let letter = try #require(try await stage.all([.discarded]).first)
      #expect(letter.settledAt != nil)
      let history = try await stage.desk.history(of: letter.id)
      #expect(history.count == 1)
      #expect(history[0].action == "discarded")
      #expect(history[0].actor == "ann")
      #expect(history[0].why == "test data")
    }
  }

  @Test func anotherArchiveTakesLettersOverOnce() async throws {
    try await stage { stage in
      let letters = try await stage.all()
      try await LetterStage.run { other in
        #expect(try await other.desk.take(letters) == 4)
        #expect(try await other.desk.take(letters) == 0)
        let taken = try await other.all()
        #expect(taken.map(\.letter) == letters.map(\.letter))
        #expect(taken.map(\.id) == letters.map(\.id))
        #expect(try await other.desk.history(of: taken[0].id).map(\.action) == ["imported"])
      }
    }
  }
}
