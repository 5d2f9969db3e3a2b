@testable import Journey
import Testing

@Suite struct CivilTimeTests {
  @Test(arguments: [
    (1970, 1, 1, 0), (1969, 12, 31, -1), (2000, 2, 29, 11_016), (2000, 3, 1, 11_017), (1900, 2, 28, -25_509),
    (1900, 3, 1, -25_508),
    (2024, 2, 29, 19_782), (2026, 11, 20, 20_777), (1, 1, 1, -719_162), (9999, 12, 31, 2_932_896),
    (0, 3, 1, -719_468), (-1, 12, 31, -719_529),
  ])
  func knownDates(year: Int, month: Int, day: Int, days: Int) {
    #expect(CivilTime.days(year: year, month: month, day: day) == days)
    #expect(CivilTime.date(days: days) == (year, month, day))
  }

  /// Eight hundred years day by day, by the rule that school teaches.
  @Test func everyDayOfEightCenturiesFollowsTheOneBefore() {
    var (year, month, day) = (1600, 1, 1)
    let first = CivilTime.days(year: 1600, month: 1, day: 1), last = CivilTime.days(year: 2399, month: 12, day: 31)
    var wrong = 0
    for number in first...last {
      if CivilTime.date(days: number) != (year, month, day)
        || CivilTime.days(year: year, month: month, day: day) != number
      {
        wrong += 1
      }
      let isLeap = year % 400 == 0 || (year % 4 == 0 && year % 100 != 0)
      let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
      day += 1
      if day > lengths[month - 1] { (month, day) = (month + 1, 1) }
      if month > 12 { (year, month) = (year + 1, 1) }
    }
    #expect(wrong == 0)
    #expect((year, month, day) == (2400, 1, 1))
    #expect(last - first + 1 == 2 * 146_097)
  }

  @Test(
    arguments: [
      (0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:00.000001Z"), (-1, "1969-12-31T23:59:59.999999Z"),
      (1_795_168_800_123_000, "2026-11-20T10:00:00.123Z"), (1_795_168_800_120_000, "2026-11-20T10:00:00.120Z"),
      (1_795_168_800_123_400, "2026-11-20T10:00:00.123400Z"), (-62_135_596_800_000_000, "0001-01-01T00:00:00Z"),
      (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"), (951_782_400_000_000, "2000-02-29T00:00:00Z"),
    ] as [(Int64, String)])
  func timestampsAreWrittenInRFC3339(microseconds: Int64, text: String) {
    let time = Timestamp(microseconds: microseconds)
    #expect(time.iso8601 == text)
    #expect(time.iso8601Date == String(text.prefix(10)))
    #expect(Timestamp(iso8601: text) == time)
  }

  @Test(arguments: propertySeeds)
  func whatIsWrittenIsReadBack(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<300 {
      var microseconds = Int64.random(in: -62_135_596_800_000_000...253_402_300_799_999_999, using: &random)
      if random.chance(0.5) { microseconds = microseconds / 1000 * 1000 }
      let time = Timestamp(microseconds: microseconds)
      #expect(Timestamp(iso8601: time.iso8601) == time)
    }
  }

  /// Only a damaged row can hold these.
  @Test(arguments: [
    (Int64.max, "294247-01-10T04:00:54.775807Z"), (Int64.min, "-290308-12-21T19:59:05.224192Z"),
    (253_402_300_800_000_000, "10000-01-01T00:00:00Z"),
    (-62_167_219_200_000_000, "0000-01-01T00:00:00Z"),
  ])
  func yearsOfOtherThanFourDigitsAreFormatted(microseconds: Int64, text: String) {
    #expect(Timestamp(microseconds: microseconds).iso8601 == text)
    var json = JSONWriter(reservingCapacity: 0)
    json.time(Timestamp(microseconds: microseconds))
    #expect(String(decoding: json.bytes, as: UTF8.self) == "\"\(text)\"")
  }

  @Test func textSortsAsTimeDoes() {
    var random = SeededRandom(seed: 4)
    let times = (0..<300).map { _ in Timestamp(seconds: .random(in: -62_135_596_800...253_402_300_799, using: &random))
    }
    #expect(times.sorted().map(\.iso8601) == times.map(\.iso8601).sorted())
  }

  @Test(arguments: [
    ("2026-02-29T00:00:00Z", false), ("2024-02-29T00:00:00Z", true), ("1900-02-29T00:00:00Z", false),
    ("2026-04-31T00:00:00Z", false),
    ("2026-00-01T00:00:00Z", false), ("2026-13-01T00:00:00Z", false), ("2026-11-20T24:00:00Z", false),
    ("2026-11-20T10:60:00Z", false),
    ("2026-11-20T10:00:61Z", false), ("2026-11-20T10:00:60Z", true), ("0000-01-01T00:00:00Z", false),
    ("2026-11-20T10:00:00", false),
    ("2026-11-20T10:00:00.Z", false), ("2026-11-20T10:00:00Zx", false), ("", false),
  ])
  func onlyRealTimesAreRead(text: String, isReal: Bool) {
    #expect((Timestamp(iso8601: text) != nil) == isReal)
  }

  @Test func offsetsAreTakenOff() {
    let expected = Timestamp.present
    for text in [
      "2026-11-20T11:30:00+01:30", "2026-11-20T05:00:00-0500", "2026-11-20 10:00:00 UTC",
      "2026-11-20T12:00:00.0000009+02",
    ] {
      #expect(Timestamp(iso8601: text) == expected, "\(text)")
    }
  }
}
