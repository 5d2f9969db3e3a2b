import DeadLetters

/// `[########........]  4310 of 10000  43 %  498/s  12 s left`
struct ReplayMeter {
  let total: Int
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant

  init(total: Int) {
    self.total = total
    start = clock.now
  }

  func show(_ progress: DeadLetterReplay.Progress) {
    let seconds = max(0.001, start.duration(to: clock.now) / .seconds(1))
    let done = min(progress.done, total)
    let speed = Double(done) / seconds
    let share = total == 0 ? 1 : Double(done) / Double(total)
    var text = "\(done) of \(total)  \(Int(share * 100)) %  \(Int(speed.rounded()))/s"
    if speed > 0 { text += "  \(Self.span(Double(total - done) / speed)) left" }
    if progress.failed > 0 { text += "  \(progress.failed) failed" }
    // The bar takes the width that the numbers leave.
    let bar = min(30, (Output.columns(of: 2) ?? 80) - text.count - 5)
    if bar >= 5 {
      let filled = Int(share * Double(bar))
      text = "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: bar - filled) + "]  " + text
    }
    Output.progress(text)
  }

  private static func span(_ seconds: Double) -> String {
    let whole = Int(seconds.rounded(.up))
    if whole < 60 { return "\(whole) s" }
    if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
    return "\(whole / 3600) h \(whole % 3600 / 60) min"
  }
}
