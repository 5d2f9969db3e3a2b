import AMQPClient
import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP

/// `journey publish FILE…`
struct Publish: Command {
  static let configuration = CommandConfiguration(
    abstract: "Publish events from files, confirmed by the broker.",
    discussion: """
      Without --source the files hold CloudEvents 1.0 in structured JSON: one, a list, or one per line (.jsonl, .ndjson). With --source they hold \
      message bodies of that vendor, one per file or one per line, and --org names the organisation.
      With --wait it prints what became of each message. Exit status then: 0 if all were stored, kept for a \
      group, duplicates or ignored, 1 otherwise.
      """,
    examples: [
      "journey publish events.jsonl --wait",
      "journey publish invoice.json --source stripe --org ORG",
      "journey publish history.jsonl --backfill",
      "journey publish --dry-run events.jsonl",
    ])

  @Argument(help: ArgumentHelp("The files; - for standard input.", valueName: "file"), completion: .file())
  var files: [String]

  @Option(help: "The vendor whose bodies the files hold, e.g. stripe.", completion: .sources)
  var source: String?

  @Option(help: "The organisation's id, for the bodies of a vendor.")
  var org: String?

  @Option(help: "The routing key, instead of <source>.<type>.")
  var routingKey: String?

  @Flag(help: "Wait until it is known what became of each message, for the time of --timeout at most, and print it.")
  var wait = false

  @OptionGroup var timeout: WaitOptions

  @Flag(help: "Load history: the events count like any others, and lead to no action.")
  var backfill = false

  @Flag(help: "Publish also what no mapping has the source of, or names no organisation: dead letters, to try them.")
  var force = false

  @Flag(help: "Read and check the files; publish nothing.")
  var dryRun = false

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings()
    if let org { _ = try Input.id(org, "--org", of: "an organisation") }
    var messages: [OutboundMessage] = []
    for file in files {
      messages += try EventFile(
        source: source, orgID: org, routingKey: routingKey, exchange: settings.messagingNames.events
      ).read(file)
    }
    if let source, !force { try await settings.requireEvents(of: source, org: org, in: messages.lazy.map(\.body)) }
    for index in messages.indices {
      messages[index].properties.userID = settings.brokerUser
      if backfill { messages[index].properties.headers[InboundDecoder.backfillHeader] = .string("true") }
    }
    var confirmed = 0
    var failures: [String] = []
    var outcomes: [PublishedMessage] = []
    if wait, !dryRun {
      let wait = try await PublishWait(&messages, settings, seconds: timeout.seconds)
      outcomes = try await failing(.failed) {
        try await settings.withDatabase { [messages] worker in
          let before = try await wait.stored(worker)
          (confirmed, failures) = try await publish(messages, settings)
          return failures.isEmpty ? try await wait.run(worker, storedBefore: before) : []
        }
      }
    } else if !dryRun {
      (confirmed, failures) = try await publish(messages, settings)
    }
    report(messages.count, confirmed, failures, outcomes)
    if !failures.isEmpty {
      throw Failure(.failed, "\(failures.count) of \(messages.count.of("message")) not confirmed: \(failures[0])")
    }
    let bad = outcomes.count { !$0.isGood }
    if bad > 0 { throw Failure(.failed, "\(bad.of("message")) of \(messages.count) not stored or ignored, see above") }
  }

  private func publish(_ messages: [OutboundMessage], _ settings: JourneyConfiguration.Settings) async throws -> (
    Int, [String]
  ) {
    try await timeout.publish(
      messages, to: settings.messagingNames.events, settings,
      afterwards: "Publish the file again: events that were confirmed count once")
  }

  private func report(_ read: Int, _ confirmed: Int, _ failures: [String], _ outcomes: [PublishedMessage]) {
    if output.json {
      printJSON(
        [
          "read": read, "confirmed": confirmed, "failed": failures.count,
          "messages": wait && !dryRun ? outcomes.map(\.json) : nil,
        ] as JSONObject)
    } else if dryRun {
      Output.line("\(read.of("message")) read, nothing published")
    } else if failures.isEmpty {
      Output.line("\(confirmed.of("message")) published and confirmed")
      if wait { Output.table(["message", "became", ""], outcomes.map { [$0.name, $0.became.rawValue, $0.text] }) }
    }
  }
}

/// Reads the messages in a file.
private struct EventFile {
  let source: String?
  let orgID: String?
  let routingKey: String?
  let exchange: String

  func read(_ path: String) throws -> [OutboundMessage] {
    let bytes = try Input.read(path)
    let isLines = path.hasSuffix(".jsonl") || path.hasSuffix(".ndjson")
    let texts = isLines ? bytes.split(separator: UInt8(ascii: "\n")).map(Array.init) : [bytes]
    var messages: [OutboundMessage] = []
    for (number, text) in texts.enumerated() {
      let location = isLines ? "\(path), line \(number + 1)" : path
      let document: JSONDocument
      do throws(JSONError) {
        document = try JSONDocument(parsing: text)
      } catch {
        throw Failure(.refusedInput, "\(location): not valid JSON: \(error)")
      }
      if let source {
        messages.append(vendor(document, source))
      } else if document.root.kind == .array {
        for (index, element) in document.root.elements.enumerated() {
          messages.append(try cloudEvent(element, "\(location), element \(index)"))
        }
      } else {
        messages.append(try cloudEvent(document.root, location))
      }
    }
    return messages
  }

  private func vendor(_ document: JSONDocument, _ source: String) -> OutboundMessage {
    var headers: FieldTable = ["x-source": .string(source)]
    if let orgID { headers["x-org-id"] = .string(orgID) }
    return OutboundMessage(
      exchange: exchange, routingKey: routingKey ?? "\(source).webhook",
      properties: MessageProperties(contentType: "application/json", headers: headers, appID: "journey-publish"),
      body: document.bytes)
  }

  private func cloudEvent(_ event: JSONValue, _ location: String) throws -> OutboundMessage {
    guard event["specversion"]?.string != nil else {
      throw Failure(
        .refusedInput, "\(location): not a CloudEvent (specversion is missing); for the body of a vendor give --source")
    }
    let type = event["type"]?.string ?? "unknown"
    let family = event["source"]?.string?.split(separator: "/").first.map(String.init) ?? "unknown"
    let key = "\(routingWord(family)).\(routingWord(type))"
    return OutboundMessage(
      exchange: exchange, routingKey: routingKey ?? String(key.prefix(255)),
      properties: MessageProperties(
        contentType: "application/cloudevents+json",
        messageID: event["id"]?.string.flatMap { $0.utf8.count <= 255 ? $0 : nil },
        appID: "journey-publish"),
      body: Array(event.rawBytes))
  }

  /// A text as one word of a routing key.
  private func routingWord(_ text: String) -> String {
    String(
      text.unicodeScalars.map {
        ($0.properties.isAlphabetic || $0.properties.numericType != nil || "_-".unicodeScalars.contains($0))
          && $0.isASCII ? Character($0) : "_"
      })
  }
}
