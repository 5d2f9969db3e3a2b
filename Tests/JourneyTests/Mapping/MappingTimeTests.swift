import Journey
import Testing

@Suite("Reading times")
struct MappingTimeTests {
  @Test(arguments: [
    ("1970-01-01T00:00:00Z", 0), ("2000-02-29T12:34:56.789012Z", 951_827_696_789_012),
    ("1969-12-31T23:59:59.5Z", -500_000),
    ("2026-11-20T10:00:00.123Z", 1_795_168_800_123_000), ("2026-11-20t10:00:00z", 1_795_168_800_000_000),
    ("2026-11-20 10:00:00Z", 1_795_168_800_000_000), ("2026-11-20T11:30:00+01:30", 1_795_168_800_000_000),
    ("2026-11-20T03:00:00-0700", 1_795_168_800_000_000), ("2026-11-20T11:00:00+01", 1_795_168_800_000_000),
    ("2026-11-20 10:00:00 UTC", 1_795_168_800_000_000), ("2026-11-20T15:30:00 +0530", 1_795_168_800_000_000),
    ("2026-11-20T10:00:00.987654321Z", 1_795_168_800_987_654), ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
    ("2026-11-20T10:00Z", 1_795_168_800_000_000),
  ])
  func readsTheDialectsOfISO8601(_ text: String, _ microseconds: Int64) {
    #expect(Timestamp(iso8601: text)?.microseconds == microseconds)
  }

  @Test(arguments: ["2026-11-20T10:00:00", "2026-11-20 10:00:00.5", "2026-11-20"])
  func takesAMissingZoneOnlyWhereItMayBeMissing(_ text: String) {
    #expect(Timestamp(iso8601: text) == nil)
    #expect(Timestamp(iso8601: text, zone: .isUTC) != nil)
  }

  @Test(arguments: [
    "", "now", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-11-31T00:00:00Z", "2026-11-20T24:00:00Z",
    "2026-11-20T10:60:00Z",
    "2026-11-20T10:00:61Z", "2026-11-20T10:00:00.Z", "2026-11-20T10:00:00Zx", "2026-11-20T10:00:00+24:00",
    "26-11-20T10:00:00Z",
    "0000-01-01T00:00:00Z", "2026-11-20T10:00:00 ", "2026-11-20T10:00:00é",
  ])
  func refusesWhatIsNoTime(_ text: String) {
    #expect(Timestamp(iso8601: text, zone: .isUTC) == nil)
  }

  @Test func agreesWithItsOwnFormat() {
    var random = JSONTestRandom(state: 7)
    for _ in 0..<2_000 {
      let time = Timestamp(microseconds: .random(in: -62_135_596_800_000_000..<253_402_300_800_000_000, using: &random))
      #expect(Timestamp(iso8601: time.iso8601) == time)
    }
  }

  @Test(arguments: [
    ("s", "1518307966", 1_518_307_966_000_000), ("s", "1518307966.678", 1_518_307_966_678_000),
    ("s", "1.5e9", 1_500_000_000_000_000),
    ("s", "\"1518307966\"", 1_518_307_966_000_000), ("ms", "1462216307945", 1_462_216_307_945_000),
    ("us", "1748000000123456", 1_748_000_000_123_456),
    ("ns", "1748000000123456789", 1_748_000_000_123_456), ("auto", "1518307966", 1_518_307_966_000_000),
    ("auto", "1462216307945", 1_462_216_307_945_000), ("auto", "1748000000123456", 1_748_000_000_123_456),
    ("auto", "1748000000123456789", 1_748_000_000_123_456), ("auto", "1518307966.678", 1_518_307_966_678_000),
    ("auto", "\"2026-11-20T10:00:00Z\"", 1_795_168_800_000_000),
    ("iso", "\"2026-11-20T10:00:00\"", 1_795_168_800_000_000),
    ("rfc3339", "\"2026-11-20T10:00:00Z\"", 1_795_168_800_000_000),
  ])
  func readsEveryUnit(_ unit: String, _ json: String, _ microseconds: Int64) throws {
    let outcome = try Self.outcome(unit, json)
    guard case .event(let event) = outcome else {
      Issue.record("\(outcome)")
      return
    }
    #expect(event.occurredAt.microseconds == microseconds)
  }

  @Test(arguments: [
    ("s", "\"soon\""), ("s", "true"), ("s", "[]"), ("s", "9223372036854775808"), ("s", "1e30"), ("ms", "\"1.2.3\""),
    ("rfc3339", "1518307966"),
    ("rfc3339", "\"2026-11-20T10:00:00\""), ("iso", "\"20 Nov 2026\""), ("auto", "\"\""),
    ("us", "-9223372036854775807"),
    ("us", "9223372036854775807"),
    ("s", "-9223372036854.775807"), ("s", "253402300800"), ("ns", "-9223372036854775808"), ("ms", "-9e18"),
    ("auto", "\"-\""),
  ])
  func refusesATimeInAnotherUnit(_ unit: String, _ json: String) throws {
    let outcome = try Self.outcome(unit, json)
    guard case .rejected(let rejection, 0) = outcome else {
      Issue.record("\(outcome)")
      return
    }
    #expect(rejection.code == .invalidField)
    #expect(rejection.field == "$.at")
    #expect(rejection.message.contains("unit \(unit)"))
  }

  static func outcome(_ unit: String, _ json: String) throws -> MappingOutcome {
    var fixture = try MappingFixture()
    fixture.time = [MappingTime(.reference(try MappingReference("$.at")), unit: try #require(TimeUnit(rawValue: unit)))]
    return fixture.map(#"{"id":"1","type":"x","client":"c","at":\#(json)}"#)[0]
  }
}
