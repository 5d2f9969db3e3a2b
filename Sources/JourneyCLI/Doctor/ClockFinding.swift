import JourneyPostgres

/// Whether this machine's clock and the database's agree. Pure. The broker's clock cannot be read over AMQP.
struct ClockFinding: Hashable {
  var verdict: DiagnosticReport.Verdict
  var text: String
  var advice: String?

  init(_ offset: ClockOffset) {
    // What is certainly there.
    let least = max(0, abs(offset.seconds) - offset.uncertainty)
    verdict = least > 30 ? .failure : least > 2 ? .warning : .ok
    guard verdict != .ok else {
      text =
        "the database's clock and this machine's agree to within \(max(1, Int((abs(offset.seconds) * 1000).rounded()))) ms"
      return
    }
    let seconds = Int(abs(offset.seconds).rounded())
    text =
      "the database's clock is \(seconds.ofTime) \(offset.seconds > 0 ? "ahead of" : "behind") this machine's: ages, expiry of actions and tokens are wrong by as much"
    advice = "set both clocks by NTP; timedatectl says whether it is on, chronyc tracking how far a clock is off"
  }
}

extension DiagnosticReport {
  mutating func add(_ clock: ClockFinding) {
    add("clock", clock.verdict, clock.verdict == .ok ? .ok : .clockSkew, clock.text, clock.advice)
  }
}
