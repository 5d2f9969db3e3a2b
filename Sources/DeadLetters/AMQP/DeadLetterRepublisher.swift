public import JourneyAMQP
public import AMQPClient
import FoundationEssentials
import Journey

/// Publishes archived messages again, straight to the ingest queue, which reads each as it was first published:
/// exchange, routing key, properties, headers, body.
///
/// It publishes through the retry exchange, never to the exchange that a dead letter names, so that no other consumer of
/// the events sees them twice. `x-journey-replay` counts the replays, `x-journey-letter` names the dead letter. An edited
/// message has a new id, and `x-journey-caused-by` names the dead letter that it was made from.
public struct DeadLetterRepublisher: DeadLetterPublisher {
  private let publisher: AMQPPublisher
  private let own: OwnMessages
  private let edit: JSONPatch?

  /// - Parameters:
  ///   - publisher: started and closed by the caller.
  ///   - user: the broker's user that publishes.
  public init(publisher: AMQPPublisher, names: MessagingNames, user: String?, edit: JSONPatch? = nil) {
    self.publisher = publisher
    own = OwnMessages(names: names, user: user)
    self.edit = edit
  }

  public func publish(_ items: [ReplayItem]) async -> [ReplayOutcome] {
    var outcomes = [ReplayOutcome](repeating: .unknown(""), count: items.count)
    var messages: [OutboundMessage] = []
    var positions: [Int] = []
    for (index, item) in items.enumerated() {
      do throws(ReplayRefusal) {
        messages.append(try Self.message(item, own: own, edit: edit))
        positions.append(index)
      } catch {
        outcomes[index] = .failed(error.description)
      }
    }
    for (index, outcome) in zip(positions, await publisher.publish(messages)) {
      outcomes[index] = ReplayOutcome(outcome)
    }
    return outcomes
  }

  /// The message that a replay publishes.
  /// - Throws: if the archived message cannot be read, or the edit does not apply.
  static func message(_ item: ReplayItem, own: OwnMessages, edit: JSONPatch?) throws(ReplayRefusal) -> OutboundMessage {
    let original = item.message, names = own.names
    guard original.exchange != names.actions else {
      throw ReplayRefusal(
        "it was published to \(original.exchange), and a replay goes to \(names.ingest) only; actions are published again from the database"
      )
    }
    guard var properties = MessageEncoding.properties(original.properties, headers: original.headers) else {
      throw ReplayRefusal("its archived properties or headers cannot be read")
    }
    guard original.body.count == original.bodySize, !original.isCut else {
      throw ReplayRefusal(
        "only the first \(original.body.count) of the \(original.bodySize) bytes of its body are archived (deadLetters.maximumBodyBytes)"
      )
    }
    properties.headers = properties.headers.sendersOnly
    properties = MessageCopy.properties(properties, exchange: original.exchange, routingKey: original.routingKey)
    properties.headers[JourneyHeader.replay] = .int(Int64(item.replayCount))
    var body = original.body
    if let edit, let id = item.editedID {
      body = try edited(
        body, by: edit, id: id.uuidString.lowercased(), isCloudEvent: isCloudEvent(properties.contentType))
      properties.messageID = id.uuidString.lowercased()
      properties.headers[JourneyHeader.causedBy] = .string(item.deadLetterID.uuidString.lowercased())
    } else {
      properties.headers[JourneyHeader.deadLetter] = .string(item.deadLetterID.uuidString.lowercased())
      properties.headers[JourneyHeader.causedBy] = item.causedBy.map { .string($0.uuidString.lowercased()) }
    }
    return own.signed(
      OutboundMessage(exchange: names.retry, routingKey: names.ingest, properties: properties, body: body))
  }

  /// A CloudEvent gets the new id in its body too, unless the edit sets one: with its old id it would count as the old
  /// event.
  private static func edited(_ body: [UInt8], by edit: JSONPatch, id: String, isCloudEvent: Bool) throws(ReplayRefusal)
    -> [UInt8]
  {
    do throws(JSONPatchError) {
      var edit = edit
      if isCloudEvent, !edit.paths.contains("/id") { edit.append(.init(kind: .add, path: ["id"], value: .string(id))) }
      return try edit.applied(to: body)
    } catch {
      throw ReplayRefusal("the edit does not apply: \(error)")
    }
  }

  /// The edited body, for a dry run, with `(new id)` for the id that the replay will give it.
  /// - Throws: if the edit does not apply; the description is for the operator.
  public static func preview(_ deadLetter: ArchivedDeadLetter, edit: JSONPatch) throws -> [UInt8] {
    let message = deadLetter.deadLetter.message
    return try edited(message.body, by: edit, id: "(new id)", isCloudEvent: isCloudEvent(message.contentType))
  }

  private static func isCloudEvent(_ contentType: String?) -> Bool {
    contentType?.lowercased().hasPrefix(eventType) == true
  }

  private static let eventType = "application/cloudevents+json"
}

/// Why an archived message cannot be published again. Quotes nothing of its body.
struct ReplayRefusal: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

extension ReplayOutcome {
  init(_ outcome: PublishOutcome) {
    self =
      switch outcome {
      case .confirmed: .confirmed
      case .returned(let code, let text): .failed("no queue took it (\(code) \(text))")
      case .nacked: .failed("the broker refused it; a queue may be full")
      // Not written, or refused for its content: another attempt would end the same.
      case .failed(let error) where error.code != .connectionLost && error.code != .shutdown: .failed("\(error)")
      case .failed(let error), .unknown(let error): .unknown("\(error)")
      }
  }
}
