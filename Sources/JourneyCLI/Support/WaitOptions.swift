import AMQPClient
import ArgumentParser
import JourneyAMQP

/// How long a command that publishes waits for a broker that accepts nothing.
struct WaitOptions: ParsableArguments {
  @Option(
    name: .customLong("wait"),
    help: ArgumentHelp(
      "How long to wait for a broker that accepts no messages: short of memory or disk, or not reachable.",
      valueName: "seconds"))
  var seconds = 60

  func validate() throws {
    guard (0...86_400).contains(seconds) else { throw ValidationError("--wait is a number of seconds, 0 to 86400") }
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
