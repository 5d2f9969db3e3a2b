import Foundation
@testable import Journey
import JourneyConfiguration
import Testing

/// Quiet hours by the clocks of real time zones.
@Suite struct QuietHoursTests {
  private static func rules(_ quietHours: String = "{}") throws -> DecisionRules {
    try DecisionLoader.load(
      yaml:
        "evaluateOverTime: true\nactions: { life: { noResponseAfter: 5d }, contact: { quietHours: \(quietHours), classes: { concierge_personal_intervention: mandatory } } }",
      file: "decisions.yaml")
  }

  private static func time(_ text: String) throws -> Timestamp { try #require(Timestamp(iso8601: text), "\(text)") }

  /// When the action for a client of these zones may be published; nil: now.
  private func wait(
    _ text: String, _ zones: String?..., rules: DecisionRules? = nil, stage: Stage = .billing
  ) throws -> String? {
    let rules = try rules ?? Self.rules()
    let now = try Self.time(text)
    var assessment = rules.assess(ClientSummary(), aiScore: nil, at: now)
    assessment.candidates = [
      Candidate(action: .emailOutreach, channel: .email, trigger: .stage(stage), reason: "billing"),
      Candidate(action: .scheduleMeeting, channel: .human, trigger: .stage(stage), reason: "billing"),
    ]
    let decision = rules.decide(assessment, actionHistory: ActionHistory(), at: now, in: zones)
    guard case .quiet(let until, let zone) = decision.verdicts[0] else {
      #expect(decision.verdicts[0] == .chosen)
      return nil
    }
    #expect(decision.verdicts[1] == .outranked(by: .emailOutreach), "what waits is not replaced by something lesser")
    #expect(decision.reconsiderAt == until)
    return "\(until.iso8601) \(zone)"
  }

  @Test(arguments: [
    // A day in winter, in summer: 21:00 to 08:00 by the local clock.
    ("2026-01-15T19:59:59Z", "Europe/Berlin", nil), ("2026-01-15T20:00:00Z", "Europe/Berlin", "2026-01-16T07:00:00Z"),
    ("2026-01-16T06:59:59.999999Z", "Europe/Berlin", "2026-01-16T07:00:00Z"),
    ("2026-01-16T07:00:00Z", "Europe/Berlin", nil), ("2026-07-15T18:59:59Z", "Europe/Berlin", nil),
    ("2026-07-15T19:00:00Z", "Europe/Berlin", "2026-07-16T06:00:00Z"),
    // The nights in which the clocks are put forward and back.
    ("2026-03-28T21:00:00Z", "Europe/Berlin", "2026-03-29T06:00:00Z"),
    ("2026-10-24T21:00:00Z", "Europe/Berlin", "2026-10-25T07:00:00Z"),
    ("2026-03-08T02:00:00Z", "America/New_York", "2026-03-08T12:00:00Z"),
    ("2026-11-01T01:00:00Z", "America/New_York", "2026-11-01T13:00:00Z"),
    // Half an hour of daylight saving; offsets of quarters of an hour; the other side of the date line.
    ("2026-04-04T11:00:00Z", "Australia/Lord_Howe", "2026-04-04T21:30:00Z"),
    ("2026-06-01T15:14:59Z", "Asia/Kathmandu", nil), ("2026-06-01T15:15:00Z", "Asia/Kathmandu", "2026-06-02T02:15:00Z"),
    ("2026-06-01T07:00:00Z", "Pacific/Kiritimati", "2026-06-01T18:00:00Z"),
    // An alias.
    ("2026-06-01T15:30:00Z", "Asia/Kolkata", "2026-06-02T02:30:00Z"),
  ])
  func theLocalClockCounts(_ now: String, _ zone: String, _ until: String?) throws {
    #expect(try wait(now, zone) == until.map { "\($0) \(zone)" })
    #expect(try wait(now, nil, zone) == until.map { "\($0) \(zone)" }, "the organisation's")
  }

  @Test func theClientsZoneComesFirstAndUnknownOnesAreSkipped() throws {
    let night = "2026-01-15T23:00:00Z"
    #expect(try wait(night, "Asia/Tokyo", "Europe/Berlin") == nil)
    #expect(try wait(night, "Berlin", "Europe/Berlin") == "2026-01-16T07:00:00Z Europe/Berlin")
    for name in ["", "GMT+1", "CET", "Europe/Atlantis", "../etc/passwd", String(repeating: "a/", count: 5000)] {
      #expect(try wait(night, name) == nil, "\(name.prefix(20))")
    }
    let rules = try Self.rules("{ zone: America/Los_Angeles }")
    #expect(try wait(night, rules: rules) == nil)
    #expect(try wait("2026-01-15T06:00:00Z", rules: rules) == "2026-01-15T16:00:00Z America/Los_Angeles")
  }

  @Test func theyCanBeChangedAndSwitchedOff() throws {
    let noon = "2026-01-15T12:00:00Z", night = "2026-01-15T23:00:00Z"
    let siesta = try Self.rules("{ from: \"12:00\", to: \"14:30\", zone: UTC }")
    #expect(try wait(noon, rules: siesta) == "2026-01-15T14:30:00Z UTC")
    #expect(try wait(night, rules: siesta) == nil)
    #expect(try wait(night, rules: Self.rules("off")) == nil)
    #expect(try wait(night, rules: Self.rules("{ channels: [voice] }")) == nil)
    #expect(
      try DecisionLoader.load(
        yaml:
          "evaluateOverTime: true\nactions: { life: { noResponseAfter: 5d }, contact: { pauses: { email_outreach: 1d } } }",
        file: "f"
      ).actions.contact?.quietHours == nil)
  }

  @Test(arguments: [
    "{ from: \"25:00\" }", "{ from: 9pm }", "{ from: \"21:00:00\" }", "{ from: \"-1:00\" }", "{ from: \"08:00\" }",
    "{ zone: Berlin }", "{ zone: CET }", "{ zone: \"\" }", "{ channels: [fax] }", "{ channels: [] }",
    "{ until: \"08:00\" }",
  ])
  func whatCannotBeMeantIsRefused(_ quietHours: String) {
    #expect(throws: (any Error).self) { try Self.rules(quietHours) }
  }

  /// Every quarter of an hour of two years, compared with Foundation's calendar.
  @Test(arguments: [
    "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu", "Pacific/Apia",
    "America/Santiago",
  ])
  func foundationAgrees(_ name: String) throws {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = try #require(TimeZone(identifier: name))
    let rules = try Self.rules()
    var assessment = rules.assess(ClientSummary(), aiScore: nil, at: Timestamp(seconds: 0))
    assessment.candidates = [
      Candidate(action: .emailOutreach, channel: .email, trigger: .stage(.billing), reason: "billing")
    ]
    let begin = try Self.time("2026-01-01T00:00:00Z").microseconds / 1_000_000
    var wrong: [Int64] = []
    for seconds in stride(from: begin, to: begin + 2 * 365 * 86_400, by: 900) {
      func isQuiet(_ seconds: Int64) -> Bool {
        let hour = calendar.component(.hour, from: Date(timeIntervalSince1970: Double(seconds)))
        return hour >= 21 || hour < 8
      }
      let now = Timestamp(seconds: seconds)
      let verdict = rules.decide(assessment, actionHistory: ActionHistory(), at: now, in: [name]).verdicts[0]
      if case .quiet(let until, _) = verdict {
        let end = until.microseconds / 1_000_000
        let isRight =
          isQuiet(seconds) && !isQuiet(end) && isQuiet(end - 1)
          && stride(from: seconds, to: end, by: 900).allSatisfy(isQuiet)
        if !isRight { wrong.append(seconds) }
      } else if isQuiet(seconds) {
        wrong.append(seconds)
      }
    }
    #expect(wrong.isEmpty, "\(wrong.count) moments, the first is \(wrong.first ?? 0)")
  }
}
