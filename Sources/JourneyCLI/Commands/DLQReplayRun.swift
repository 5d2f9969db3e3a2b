import DeadLetters
import AMQPClient
import FoundationEssentials
import JourneyConfiguration
import JourneyAMQP
import JourneyPostgres
import UnixSignals

/// A replay in a terminal: with a progress bar, and an end in order when it is interrupted.
struct ReplayRun {
  let settings: JourneyConfiguration.Settings
  let replays: ReplayRepository
  let id: Int
  let total: Int
  let rate: Double?
  let patch: JSONPatch?
  let why: String?
  let wait: WaitOptions

  /// - Throws: also where the broker takes nothing for longer than is waited; the letters that it has not confirmed are
  ///   open again then.
  func callAsFunction() async throws -> DeadLetterReplay.Progress {
    let timeout = wait.timeout()
    let broker = try settings.broker("replay")
    let publisher = AMQPPublisher(settings: broker, window: settings.publishWindow) { timeout.record($0) }
    let deadLetters = DeadLetterRepublisher(
      publisher: publisher, names: settings.messagingNames, user: broker.userID, edit: patch)
    let replay = DeadLetterReplay(store: replays.store(id, why: why), publisher: deadLetters, rate: rate)
    let meter = ReplayMeter(total: total)
    let run = Task { try await replay.run { meter.show($0) } }
    timeout.guardWaiting(of: publisher) { run.cancel() }
    publisher.start()
    // Signals are waited for before the first letter is published.
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
    let interruption = Task {
      for await _ in signals {
        run.cancel()
        // A broker that does not answer shall not keep the operator waiting; what it has not confirmed stays taken.
        await publisher.close(deadline: .seconds(5))
        break
      }
    }
    let result = await run.result
    interruption.cancel()
    Output.endProgress()
    await publisher.close()
    let progress = try result.get()
    if progress.isComplete {
      try await replays.finish(id)
    } else if let reason = timeout.aborted {
      let open = try await replays.giveBack(id, why: reason)
      throw Failure(
        .unavailable,
        "\(reason); given up after \(wait.seconds) s: \(progress.confirmed.of("letter")) published and confirmed, \(open) open again"
      )
    }
    return progress
  }
}

/// `[########........]  4310 of 10000  43 %  498/s  12 s left`
private struct ReplayMeter {
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
    if progress.failed > 0 { text += "  \(progress.failed) not taken" }
    // The numbers first; the bar takes what the terminal has left.
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
