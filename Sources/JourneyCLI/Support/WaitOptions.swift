import AMQPClient
import ArgumentParser
import JourneyAMQP
import JourneyConfiguration

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

  /// Publishes messages, confirmed by the broker.
  /// - Parameter afterwards: what to do if the broker has confirmed only some of them.
  /// - Returns: how many are confirmed, and why others are not.
  func publish(
    _ messages: [OutboundMessage], to exchange: String, _ settings: Settings, afterwards: String
  ) async throws -> (confirmed: Int, failures: [String]) {
    // A broker that is not reachable, or takes no messages, is reported at once.
    try await settings.withAdmin { admin in
      try await untilPublishing {
        try await PublishingTimeouts.untilPublishing(to: exchange, admin, seconds: seconds, say: say)
      }
    }
    let waiting = timeout()
    let publisher = AMQPPublisher(settings: try settings.broker("publish")) { waiting.record($0) }
    waiting.guardWaiting(of: publisher)
    publisher.start()
    var confirmed = 0
    var failures: [String] = []
    for start in stride(from: 0, to: messages.count, by: 1000) {
      for outcome in await publisher.publish(Array(messages[start..<min(start + 1000, messages.count)])) {
        switch outcome {
        case .confirmed: confirmed += 1
        case .returned: failures.append("no queue is bound to \(exchange); run: \(Advice.topology)")
        case .nacked: failures.append("the broker refused it; a queue may be full")
        case .failed(let error), .unknown(let error): failures.append("\(error)")
        case .held: break
        }
      }
      Output.progress("\(confirmed) of \(messages.count) confirmed")
    }
    Output.endProgress()
    await publisher.close()
    if let reason = waiting.aborted {
      throw Failure(
        .unavailable,
        "\(reason); gave up after \(seconds) s: \(confirmed) of \(messages.count) messages were confirmed. \(afterwards)"
      )
    }
    return (confirmed, failures)
  }

  func timeout() -> PublishingTimeouts { PublishingTimeouts(seconds: seconds, say: say) }

  func say(_ reason: String) {
    Output.endProgress()
    Output.error("journey: \(reason); waiting up to \(seconds) s")
  }
}
