import AMQPClient
import Foundation
import JourneyPostgres
import Testing

@testable import JourneyAMQP
@testable import JourneyCLI
@testable import TestSupport

/// What `journey doctor` makes of facts, without servers.
@Suite struct DoctorJudgementTests {
  @Test func brokersWithKnownFaultsAreNamed() {
    func faults(_ version: String) -> [KnownFaults.Fault] {
      KnownFaults.ofBroker("RabbitMQ \(version)", MessagingNames(), virtualHost: "/live")
    }
    for (version, cure) in [
      ("3.13.0", "3.13.3"), ("3.13.2", "3.13.3"), ("4.3.0", "4.3.3"), ("4.3.2", "4.3.3"), ("4.3.0-rc.1", "4.3.3"),
    ] {
      let found = faults(version).filter { $0.verdict == .failure }
      #expect(found.count == 1 && found[0].text.contains(version) && found[0].advice.contains(cure), "\(version)")
    }
    for version in ["3.10.8", "3.12.14", "3.13.3", "3.13.7", "4.0.9", "4.2.7", "4.3.3", "4.10.0", "unknown"] {
      #expect(faults(version).allSatisfy { $0.verdict == .ok }, "\(version)")
    }
    // A limit that AMQP does not tell.
    let limit = faults("4.1.0")
    #expect(limit.count == 1 && limit[0].advice.contains("rabbitmqctl set_policy -p '/live'"), "\(limit)")
    #expect(limit.first?.advice.contains(#"journey\.dead-letters"#) == true, "\(limit)")
    #expect(limit.first?.advice.contains(#"journey\.ingest"#) == false, "the limit of the events stays")
    #expect(limit.first?.advice.contains(#"journey\.actions"#) == false, "and that of the actions")
    #expect(faults("3.13.7") == [] && KnownFaults.ofBroker("unknown broker", MessagingNames(), virtualHost: "/") == [])
  }

  @Test func databasesWithKnownFaultsAreNamed() throws {
    let now = try Date("2026-11-11T00:00:00Z", strategy: .iso8601)
    func faults(_ version: Int32, _ now: Date) -> [FindingCode: DiagnosticReport.Verdict] {
      Dictionary(KnownFaults.ofDatabase(version, now: now).map { ($0.code, $0.verdict) }) { first, _ in first }
    }
    #expect(faults(140_003, now) == [.databaseVersion: .failure])
    for version: Int32 in [140_004, 150_018, 170_000, 180_006, 190_000] { #expect(faults(version, now) == [:]) }
    for version: Int32 in [130_023, 120_022, 90_624] { #expect(faults(version, now) == [.databaseVersion: .warning]) }
    // The day of the last release.
    #expect(faults(140_024, now.addingTimeInterval(86_400)) == [.databaseVersion: .warning])
  }

  @Test func clocksThatDifferAreNamed() {
    func verdict(_ seconds: Double, _ uncertainty: Double = 0.001) -> DiagnosticReport.Verdict {
      ClockFinding(ClockOffset(seconds: seconds, uncertainty: uncertainty)).verdict
    }
    #expect(verdict(0) == .ok && verdict(1.9) == .ok && verdict(-1.9) == .ok)
    #expect(verdict(2.5) == .warning && verdict(-29) == .warning)
    #expect(verdict(31) == .failure && verdict(-86_400) == .failure)
    // A slow answer may be the whole difference.
    #expect(verdict(3, 2) == .ok && verdict(33, 4) == .warning)
    #expect(ClockFinding(ClockOffset(seconds: -90, uncertainty: 0)).text.contains("90 s behind"))
    #expect(ClockFinding(ClockOffset(seconds: 7200, uncertainty: 0)).text.contains("2 h ahead of"))
  }

  @Test func certificatesThatEndAreNamed() {
    let now = Date()
    func verdict(_ days: Double) -> DiagnosticReport.Verdict {
      CertificateFinding(of: "the broker", end: now.addingTimeInterval(days * 86_400), now: now).verdict
    }
    #expect(verdict(365) == .ok && verdict(30.5) == .ok)
    #expect(verdict(29.5) == .warning && verdict(7.5) == .warning)
    #expect(verdict(6.5) == .failure && verdict(-1) == .failure)
    let ended = CertificateFinding(of: "the broker", end: now.addingTimeInterval(-60), now: now)
    #expect(ended.text.contains("the broker ended at"))
  }

  @Test func aQueueIsJudgedByItsTrend() {
    let start = ContinuousClock.now
    func trend(_ depths: [Int], consumers: Int = 1) -> QueueTrend {
      QueueTrend(
        depths.enumerated().map {
          (at: start + .milliseconds(1500 * $0), state: QueueState(ready: $1, consumers: consumers))
        })
    }
    #expect(trend([20_000], consumers: 0) == .unread && trend([0], consumers: 0) == .unread)
    #expect(trend([1000, 2500, 4000]) == .grows(perSecond: 1000))
    #expect(trend([200, 200, 200]) == .still)
    #expect(trend([20_000, 15_500, 11_000]) == .read(perSecond: -3000))
    // In order: small numbers that repeat or rise by chance, a burst that is worked off, noise on a deep queue.
    for depths in [[3, 3, 3], [1, 40, 900], [4000, 5000, 4500], [50_000, 50_100, 50_200], [5000], [0, 0, 0]] {
      guard case .read = trend(depths) else {
        Issue.record("\(depths): \(trend(depths))")
        continue
      }
    }
  }

  /// Programs read the codes, so each is documented.
  @Test func everyCodeIsDocumented() throws {
    let text = try String(contentsOfFile: Repository.root + "/docs/operations.md", encoding: .utf8)
    for code in FindingCode.allCases where code != .ok {
      #expect(text.contains("| `\(code.rawValue)` |"), "docs/operations.md lacks \(code.rawValue)")
    }
    let documented = text.matches(of: /\| `([a-z-]+)` \| (?:failure|warning|failure, warning|ok)/).map { String($0.1) }
    #expect(documented.count >= FindingCode.allCases.count - 1)
    for code in documented { #expect(FindingCode(rawValue: code) != nil, "no such code: \(code)") }
  }
}
