import AMQPClient
import ArgumentParser
import Journey
import JourneyAMQP
import JourneyConfiguration

/// `journey queues`
struct Queues: Command {
  static let configuration = CommandConfiguration(
    abstract: "Show how many messages wait in each queue, and how many consumers read it.",
    discussion: """
      Takes no message, so it counts no delivery. AMQP tells neither how many messages are unsettled nor how old they are. With --watch and --json: a \
      line for each look, with its time.
      Exit status: 0; 69 if the broker is not reachable; 78 if queues are missing.
      """,
    examples: ["journey queues", "journey queues --watch", "journey queues --watch --json"])

  @Flag(help: "Show it again every two seconds, with the change in a second, until Ctrl-C.")
  var watch = false

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings()
    let names = settings.messagingNames
    try await settings.withAdmin { admin in
      var before: QueueLook?
      repeat {
        if before != nil { try await Task.sleep(for: .seconds(2)) }
        let look = try await QueueLook.take(admin, names)
        let rows = names.queues.map { QueueRow($0, look, before) }
        if output.json {
          if watch { printJSON(["at": SystemClock().now(), "queues": rows] as JSONObject) } else { printJSON(rows) }
        } else {
          show(rows)
        }
        if !watch, rows.contains(where: \.isMissing) {
          throw Failure(.settings, "queues are missing", advice: "run: \(Advice.topology)")
        }
        before = look
      } while watch
    }
  }

  private func show(_ rows: [QueueRow]) {
    if watch, Output.columns(of: 1) != nil { Output.write("\u{1B}[H\u{1B}[2J", to: 1) }
    let change = watch ? ["a second"] : []
    Output.table(
      ["queue", "ready", "consumers"] + change + ["what waits"],
      rows.map { row -> [String] in
        var cells = [
          row.queue, row.ready.map(String.init) ?? (row.isMissing ? "missing" : "hidden"),
          row.consumers.map(String.init) ?? "",
        ]
        if watch { cells.append(row.perSecond.map { $0 > 0 ? "+\($0)" : "\($0)" } ?? "") }
        return cells + [row.contents]
      })
  }
}

/// A line of `journey queues`.
private struct QueueRow: Encodable {
  var queue: String
  var contents: String
  var isMissing: Bool
  /// nil where the queue is missing, or the broker does not show it to this user.
  var ready: Int?
  var consumers: Int?
  /// The change since the look before.
  var perSecond: Int?

  private enum CodingKeys: String, CodingKey {
    case queue, contents, ready, consumers, perSecond
    case isMissing = "missing"
  }

  init(_ queue: JourneyQueue, _ look: QueueLook, _ before: QueueLook?) {
    self.queue = queue.name
    let state = look.states[queue.name]
    ready = state?.ready
    consumers = state?.consumers
    isMissing = state == nil && !look.hidden.contains(queue.name)
    if let state, let before, let earlier = before.states[queue.name] {
      perSecond = Int((Double(state.ready - earlier.ready) / ((look.at - before.at) / .seconds(1))).rounded())
    }
    contents =
      switch queue.contents {
      case .events: "events for journey serve"
      case .retries(let after): "parked: events that return \(Int(after.components.seconds).ofTime) after a failure"
      case .deadLetters: "dead letters for the archive"
      case .actions(let channel): "actions for the worker of the channel \(channel)"
      case .outcomes: "outcomes that workers report"
      }
  }
}
