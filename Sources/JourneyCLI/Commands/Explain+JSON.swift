import Journey
import JourneyPostgres

/// What `journey explain --json` answers.
extension ClientReport {
  var json: JSONObject {
    let candidates = (now.flatMap { try? JSONDocument(parsing: $0.explanation) }?.root).map(ExplainedCandidate.of) ?? []
    return [
      "clientId": id, "orgId": orgID, "name": name, "email": email, "stage": now?.stage, "nextChange": now?.nextChange,
      "now": now.map { now -> JSONObject in
        [
          "asOf": now.asOf, "score": now.score, "riskLevel": now.riskLevel, "isStored": now.isStored,
          "explanation": RawJSON(now.explanation),
        ]
      },
      "candidates": zip(candidates, now?.openings ?? []).map { $0.json(opensAt: $1) },
      "changes": now?.whatIf.json,
      "eventCount": eventCount, "scores": scores.map(\.json), "actions": actions, "events": events.map(\.json),
    ]
  }
}

extension PastReport {
  var json: JSONObject {
    let root = (decision?.explanation.flatMap { try? JSONDocument(parsing: $0) })?.root
    return [
      "clientId": client.id, "orgId": client.orgID, "name": client.name, "email": client.email, "at": at,
      "stage": root?["stage"]?.string,
      "decision": decision.map { $0.json as any Encodable } ?? JSONNull(), "oldestDecisionAt": oldestDecisionAt,
      "candidates": (root.map(ExplainedCandidate.of) ?? []).map { $0.json(opensAt: nil) },
      "eventCount": client.eventCount, "scores": client.scores.map(\.json), "actions": client.actions,
      "events": client.events.map(\.json),
    ]
  }
}

/// A candidate of an explanation, and what stands in its way.
private struct ExplainedCandidate {
  let value: JSONValue

  static func of(_ explanation: JSONValue) -> [ExplainedCandidate] {
    (explanation["candidates"].map { Array($0.elements) } ?? []).map { ExplainedCandidate(value: $0) }
  }

  /// - Parameter opensAt: when it is possible again by itself; nil: as the explanation says, if it does.
  func json(opensAt: Timestamp?) -> JSONObject {
    let isChosen = value["verdict"]?.string == "chosen"
    return [
      "action": value["action"]?.string, "channel": value["channel"]?.string, "trigger": value["trigger"]?.string,
      "verdict": value["verdict"]?.string, "blockedBy": isChosen ? nil : Explain.verdict(value),
      "opensAt": opensAt ?? value["until"]?.string.flatMap { Timestamp(iso8601: $0) },
    ]
  }
}

extension ClientReport.Score {
  fileprivate var json: JSONObject {
    [
      "generatedAt": generatedAt, "score": score, "riskLevel": riskLevel,
      "explanation": explanation.map { RawJSON($0) },
    ]
  }
}

extension ClientReport.Event {
  fileprivate var json: JSONObject {
    [
      "occurredAt": occurredAt, "type": type, "stage": stage, "setsStage": setsStage, "source": source,
      "id": sourceEventID,
    ]
  }
}

extension WhatIf {
  fileprivate var json: JSONObject { ["winner": winner.map(\.json), "level": level.map(\.json)] }
}

extension WhatIf.Change {
  fileprivate var json: JSONObject { ["facts": facts.map(\.json), "from": from.json, "to": to.json] }
}

extension WhatIf.Outcome {
  fileprivate var json: JSONObject {
    ["winner": winner.map { $0.rawValue as any Encodable } ?? JSONNull(), "riskLevel": level.rawValue]
  }
}

extension Fact {
  fileprivate var json: JSONObject {
    let value: (name: String, value: any Encodable)? =
      switch self {
      case .settledInvoices(let count), .moreClientEvents(let count), .fewerClientEvents(let count),
        .moreNegativeEvents(let count), .fewerNegativeEvents(let count), .moreTickets(let count),
        .fewerTickets(let count):
        ("count", count)
      case .usage(let percent), .usageUnder(let percent): ("percent", percent)
      case .reachable(let channel), .wanted(let channel), .consent(let channel, _): ("channel", channel.rawValue)
      case .silence(let until): ("until", until)
      case .stage(let stage): ("stage", stage.rawValue)
      case .overdueInvoice, .progress, .delay: nil
      }
    return JSONObject(
      [("fact", name)] + [value.map { ($0.name, $0.value) }].compactMap { $0 } + [("text", description)])
  }
}
