import AMQPClient
import ArgumentParser
import JourneyAMQP

/// How long a command that publishes waits for a broker that accepts nothing.
struct WaitOptions: ParsableArguments {
  @Option(
    name: .customLong("timeout"),
    help: ArgumentHelp(
      "How long to wait for a broker that accepts no messages: short of memory or disk, or not reachable. 60s, 2m or 1h.",
      valueName: "time"), transform: Self.seconds)
  var seconds = 60

  /// `60`, `60s`, `2m` or `1h`; at most a day.
  static func seconds(_ text: String) throws -> Int {
    let units: [Character: Int] = ["s": 1, "m": 60, "h": 3600]
    let unit = text.last.flatMap { units[$0] }
    let number = Int(unit == nil ? text[...] : text.dropLast()).map { $0.multipliedReportingOverflow(by: unit ?? 1) }
    guard let number, !number.overflow, (0...86_400).contains(number.partialValue) else {
      throw ValidationError("\(text) is no time: expected 60s, 2m or 1h, at most 24h")
    }
    return number.partialValue
  }

  /// Runs `wait`, which returns once the broker accepts messages.
  func untilPublishing(_ wait: () async throws -> Void) async throws {
    do {
      try await wait()
    } catch let error as AMQPError where error.code == .blocked {
      throw Failure(
        .unavailable,
        "the broker takes no messages now: \(error.message); gave up after \(seconds) s, nothing was published")
    }
  }

  func timeout() -> PublishingTimeouts { PublishingTimeouts(seconds: seconds, say: say) }

  func say(_ reason: String) {
    Output.endProgress()
    Output.error("journey: \(reason); waiting up to \(seconds) s")
  }
}
