import AMQPClient
import FoundationEssentials
import Journey

extension InboundDecoder {
  /// The reports of a CloudEvent, or of a batch of them; nil if the message is no report.
  func reports(
    _ form: MessageForm, _ properties: MessageProperties, now: Timestamp, _ random: inout IDRandom
  ) -> Decoded? {
    let root = form.document.root
    let isBatch = root.kind == .array
    guard (isBatch ? root[0] : root)?.member("type")?.isString(OutcomeEvent.staticType) ?? false else { return nil }
    var decoded = Decoded(events: [], rejections: [])
    for (index, element) in (isBatch ? Array(root.elements) : [root]).enumerated() {
      do throws(Rejection) {
        let report = try report(element, form.orgID, properties, now: now)
        if let refusal = refusal(of: report, from: properties.userID) { throw refusal }
        decoded.events.append(
          IncomingEvent(
            id: UUID.v7(at: now, using: &random), event: Self.event(of: report), signals: Signals(),
            traceparent: traceparent(properties, form.document), report: report))
      } catch {
        var rejection = error
        if isBatch { rejection.field = "element \(index)" + (rejection.field.map { ", " + $0 } ?? "") }
        decoded.rejections.append(rejection)
      }
    }
    return decoded
  }

  /// The event that stands for a report on its way. Its client is that of the action, which only the store knows.
  private static func event(of report: OutcomeReport) -> JourneyEvent {
    JourneyEvent(
      orgID: report.orgID ?? UUID.zero,
      source: OutcomeReport.source, sourceEventID: "\(report.actionID.text)/\(report.outcome.rawValue)",
      client: ClientReference(externalID: report.actionID.text), type: "action_\(report.outcome.rawValue)", stage: nil,
      occurredAt: report.occurredAt, metadata: Array("{}".utf8))
  }

  private func report(
    _ event: JSONValue, _ orgID: UUID?, _ properties: MessageProperties, now: Timestamp
  ) throws(Rejection) -> OutcomeReport {
    guard event["type"]?.string == OutcomeEvent.type else {
      throw Rejection(
        .unknownType, field: "type", value: event["type"]?.string, "a batch of outcomes has no other events")
    }
    let data = event["data"]
    func text(_ name: String, required: Bool) throws(Rejection) -> String? {
      guard let value = data?[name], value.kind != .null else {
        if required { throw Rejection(.missingField, field: "data.\(name)", "an outcome has this field") }
        return nil
      }
      guard let text = value.string else {
        throw Rejection(.invalidField, field: "data.\(name)", "it is not text")
      }
      return text
    }
    func time(_ name: String, _ text: String?) throws(Rejection) -> Timestamp? {
      guard let text else { return nil }
      guard let time = Timestamp(iso8601: text) else {
        throw Rejection(.invalidField, field: name, value: text, "it is no time in the form 2026-01-31T09:30:00Z")
      }
      return time
    }
    guard let id = try text("actionId", required: true), let actionID = UUID(uuidString: id) else {
      throw Rejection(
        .invalidField, field: "data.actionId", value: data?["actionId"]?.string, "an action is named by its UUID")
    }
    let word = try text("outcome", required: true) ?? ""
    guard let outcome = ActionOutcome(rawValue: word) else {
      throw Rejection(
        .invalidField, field: "data.outcome", value: word,
        "it is one of \(ActionOutcome.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    var said = try time("data.occurredAt", text("occurredAt", required: false))
    if said == nil { said = try time("time", event["time"]?.string) }
    let occurred = said ?? now
    let report = OutcomeReport(
      actionID: actionID, outcome: outcome, occurredAt: occurred,
      detail: try text("detail", required: false)?.shortened(to: OutcomeReport.maxDetail),
      until: try time("data.until", text("until", required: false)), reporter: reporter(event, properties),
      orgID: try organization(event, orgID), isTimed: said != nil)
    try report.checkTimes(at: now)
    return report
  }

  private func organization(_ event: JSONValue, _ header: UUID?) throws(Rejection) -> UUID? {
    guard let value = event["orgid"], value.kind != .null else { return header }
    guard let id = value.string.flatMap(UUID.init(uuidString:)) else {
      throw Rejection(.invalidField, field: "orgid", value: value.string, "an organization is named by its UUID")
    }
    return id
  }

  private func reporter(_ event: JSONValue, _ properties: MessageProperties) -> String {
    if publishers.isOwn(properties.userID) {
      return event[OutcomeEvent.reporter]?.string.map { "person:\($0.shortened(to: 200))" } ?? "journey"
    }
    return "worker:\(properties.userID ?? "unknown")"
  }

  /// Why a publisher may not report an outcome; nil if it may.
  private func refusal(of report: OutcomeReport, from userID: String?) -> Rejection? {
    publishers.refusal(ofOutcomeIn: report.orgID, from: userID)
  }
}
