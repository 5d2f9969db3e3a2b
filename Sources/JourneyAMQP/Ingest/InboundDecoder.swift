import AMQPClient
import FoundationEssentials
public import Journey

/// Decodes a delivery into events, using the mapping of its source.
public struct InboundDecoder: Sendable {
  /// The source whose mapping reads CloudEvents.
  public static let cloudEvents = "cloudevents"
  /// The source of an `application/json` message without an `x-source` header: the adapter's own format.
  static let ownBody = "journey"
  /// The `app_id` property of messages that the adapter's API publishes.
  static let apiAppID = "journey-api"

  private let live: LiveMappings
  var mappings: [String: Mapping] { live.current }
  private let signals: SignalReader
  private let setsLowerBounds: Bool
  private let unlisted: UnlistedEvents?
  /// Whether elements that the vendor marks as a test are mapped like others.
  let takesTestTraffic: Bool
  let maxBodyBytes: Int
  let publishers: PublisherPolicy
  private let outcomes: String
  let clock: any WallClock

  /// - Parameters:
  ///   - live: by source; each message uses the mappings that are current when it arrives.
  ///   - maxBodyBytes: larger bodies are rejected without parsing.
  ///   - publishers: who may report which events.
  ///   - outcomes: the exchange that takes reports of outcomes, and nothing else.
  public init(
    live: LiveMappings, signals: SignalRules, maxBodyBytes: Int = 1 << 20, takesTestTraffic: Bool = false,
    unlisted: UnlistedEvents? = nil,
    publishers: PublisherPolicy = PublisherPolicy(), outcomes: String = MessagingNames().outcomes,
    clock: any WallClock
  ) {
    self.live = live
    self.signals = SignalReader(signals)
    self.takesTestTraffic = takesTestTraffic
    self.unlisted = unlisted
    setsLowerBounds = signals.lowerBounds == .set
    self.maxBodyBytes = maxBodyBytes
    self.publishers = publishers
    self.outcomes = outcomes
    self.clock = clock
  }

  /// What a message is decoded into: events, and a rejection for each part that cannot be an event.
  package struct Decoded {
    package var events: [IncomingEvent]
    package var rejections: [Rejection]
    /// nil: no mapping has read the message.
    package var origin: RawOrigin?
  }

  /// Decodes a message.
  /// - Parameter earlier: when the message was first received and mapped, if it is mapped again.
  func decode(_ delivery: Delivery, earlier: RawOrigin? = nil, random: inout IDRandom) -> Decoded {
    do throws(Rejection) {
      return try read(delivery, earlier, &random)
    } catch {
      return Decoded(events: [], rejections: [error])
    }
  }

  private func read(
    _ delivery: Delivery, _ earlier: RawOrigin?, _ random: inout IDRandom
  ) throws(Rejection) -> Decoded {
    let properties = delivery.properties
    if delivery.problem == .headersTooDeep {
      throw Rejection(.malformed, field: "headers", "a header is nested deeper than 32 levels")
    }
    try requireFitting(delivery.bodySize)
    try publishers.admit(properties.userID)
    try requireClear(properties.headers)
    let isBackfill = try isBackfill(properties)
    let form = try form(of: properties, body: delivery.body)
    if form.source == Self.cloudEvents, earlier == nil,
      let decoded = reports(form, properties, now: clock.now(), &random)
    {
      guard !isBackfill else {
        throw Rejection(
          .invalidField, field: "header \(Self.backfillHeader)", value: "true", "an outcome of an action is no history")
      }
      return decoded
    }
    guard delivery.exchange != outcomes else {
      throw Rejection(
        .unknownType, field: "type", value: form.document.root["type"]?.string,
        "only outcomes of actions (\(OutcomeEvent.type)) are taken from this exchange")
    }
    guard let mapping = mappings[form.source] else { throw Self.noMapping(form.source) }
    let now = earlier?.mappedAt ?? clock.now()
    let received = earlier?.receivedAt ?? AttemptRecord(properties.headers).firstFailureTime
    let result = mapping.map(
      input(
        form.document, properties, routingKey: delivery.routingKey, orgID: form.orgID, received: received, now: now),
      signals: signals)
    let (events, rejections) = prepare(
      result, of: form.source, properties, traceparent: traceparent(properties, form.document),
      isBackfill: isBackfill, now: now, &random)
    let origin = RawOrigin(
      source: form.source, orgID: form.orgID, receivedAt: received ?? now, mappedAt: now,
      isRepeated: delivery.isRedelivered || received != nil, bytes: delivery.body.count)
    if earlier == nil { record(result, origin, delivery.body) }
    return Decoded(events: events, rejections: rejections, origin: origin)
  }

  /// Counts the event types that no rule names.
  private func record(_ result: MappingResult, _ origin: RawOrigin, _ body: [UInt8]) {
    guard let unlisted else { return }
    for case .unlisted(let type) in result.outcomes {
      unlisted.record(source: origin.source, type: type, orgID: origin.orgID, at: origin.receivedAt) {
        live.redaction(of: origin.source)?.redacted(body) ?? body
      }
    }
  }

  func requireFitting(_ bodySize: Int) throws(Rejection) {
    guard bodySize <= maxBodyBytes else {
      throw Rejection(.tooLarge, field: "body", value: "\(bodySize) bytes", "larger than \(maxBodyBytes) bytes")
    }
  }

  static func noMapping(_ source: String) -> Rejection {
    Rejection(.unknownSource, field: "header x-source", value: source, "there is no mapping for this source")
  }

  func input(
    _ document: JSONDocument, _ properties: MessageProperties, routingKey: String, orgID: UUID?,
    received: Timestamp?, now: Timestamp
  ) -> MappingInput {
    var input = MappingInput(
      document: document, header: { properties.headers.header($0) }, messageID: properties.messageID,
      timestamp: properties.timestamp.flatMap { Timestamp(propertySeconds: $0) },
      received: received ?? now, type: properties.type,
      appID: properties.appID,
      routingKey: routingKey, orgID: orgID, limits: EventLimits(now: now))
    input.takesTestTraffic = takesTestTraffic
    return input
  }

  /// Says that a message is history that is loaded later, which leads to no action.
  public static let backfillHeader = "x-backfill"
  private static let decisiveHeaders = ["x-org-id", "x-source", backfillHeader]

  /// Rejects headers that are repeated or of an unexpected type: other readers could interpret them differently.
  private func requireClear(_ headers: FieldTable) throws(Rejection) {
    for name in Self.decisiveHeaders {
      var isThere = false
      for field in headers where field.name.isEqualIgnoringCase(to: name) {
        guard !isThere else { throw Rejection(.invalidField, field: "header \(name)", "it occurs more than once") }
        let isFlag = name == Self.backfillHeader && field.value.flagText != nil
        guard isFlag || field.value.headerText != nil else {
          throw Rejection(.invalidField, field: "header \(name)", "it is not text")
        }
        isThere = true
      }
    }
  }

  private func isBackfill(_ properties: MessageProperties) throws(Rejection) -> Bool {
    let field = properties.headers.first { $0.name.isEqualIgnoringCase(to: Self.backfillHeader) }
    guard let text = field?.value.headerText ?? field?.value.flagText else { return false }
    guard let isBackfill = ["true": true, "false": false][text.lowercased()] else {
      throw Rejection(
        .invalidField, field: "header \(Self.backfillHeader)", value: text, "expected true or false")
    }
    if isBackfill, let refusal = publishers.refusalOfBackfill(from: properties.userID) { throw refusal }
    return isBackfill
  }

  private func prepare(
    _ result: MappingResult, of source: String, _ properties: MessageProperties, traceparent: String?,
    isBackfill: Bool, now: Timestamp, _ random: inout IDRandom
  ) -> (events: [IncomingEvent], rejections: [Rejection]) {
    let namedSource = source == Self.cloudEvents ? properties.headers.header("x-source") : nil
    // Events from the API have a source of their own, so that no other publisher can use their ids.
    let isFromAPI = source == Self.ownBody && properties.appID == Self.apiAppID && publishers.isOwn(properties.userID)
    var events: [IncomingEvent] = []
    var rejections: [Rejection] = []
    var signals = result.signals.makeIterator()
    for (element, outcome) in result.outcomes.enumerated() {
      func reject(_ rejection: Rejection) {
        var rejection = rejection
        if result.outcomes.count > 1 {
          rejection.field = "element \(element)" + (rejection.field.map { ", " + $0 } ?? "")
        }
        rejections.append(rejection)
      }
      switch outcome {
      case .ignored, .unlisted: continue
      case .rejected(let rejection, _): reject(rejection)
      case .event(var event):
        let found = signals.next() ?? Signals()
        if setsLowerBounds, let stage = event.minStage { (event.stage, event.minStage) = (stage, nil) }
        if isFromAPI {
          event.source = PublisherPolicy.apiSource
        } else if let refusal = refusal(of: event, namedSource: namedSource, from: properties.userID) {
          reject(refusal)
          continue
        }
        events.append(
          IncomingEvent(
            id: UUID.v7(at: now, using: &random), event: event, signals: found, traceparent: traceparent,
            isBackfill: isBackfill))
      }
    }
    return (events, rejections)
  }

  /// - Parameter namedSource: the source that the message names for a CloudEvent outside the event itself.
  private func refusal(of event: JourneyEvent, namedSource: String?, from userID: String?) -> Rejection? {
    if let namedSource, namedSource != Self.cloudEvents, namedSource != event.source {
      return Rejection(
        .invalidField, field: "header x-source", value: namedSource, "the event itself names another source")
    }
    return publishers.refusal(of: event, from: userID)
  }

  /// The W3C trace context, from the header or from the CloudEvents tracing extension.
  func traceparent(_ properties: MessageProperties, _ document: JSONDocument) -> String? {
    guard let text = properties.headers["traceparent"]?.stringValue ?? document.root["traceparent"]?.string else {
      return nil
    }
    return Self.isTraceparent(text) ? text : nil
  }

  /// `00-<32 hexadecimal digits>-<16>-<2>`; later versions may append more fields.
  private static func isTraceparent(_ text: String) -> Bool {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    let digits = Set("0123456789abcdef".utf8)
    return text.utf8.count <= 128 && parts.count >= 4 && parts.prefix(4).map(\.utf8.count) == [2, 32, 16, 2]
      && parts.allSatisfy { $0.utf8.allSatisfy(digits.contains) }
  }
}
