import FoundationEssentials

extension Cause {
  /// The source and type of an evaluation without an event.
  static let timeSource = "/journey/time"
  static let timeType = "time_passed"
  static let historySource = "/journey/history"
  static let historyType = "history_changed"
  static let recomputationSource = "/journey/recompute"
  static let recomputationType = "recomputed"
}

extension Evaluation {
  /// The source's id of the causing event; the evaluation's own id if there is none.
  var causeID: String {
    switch cause {
    case .event(let incoming): incoming.event.sourceEventID
    case .time, .historyChange, .recomputation: id.text
    }
  }

  var traceparent: String? {
    switch cause {
    case .event(let incoming): incoming.traceparent
    case .time, .historyChange, .recomputation: nil
    }
  }

  /// Writes the explanation of the evaluation as a JSON object: the parts of the score, the risks with their evidence,
  /// the verdict on each candidate, the causing event and the version of the rules.
  ///
  /// - Parameter risks: the risks as JSON, by `Assessment.writeRisks`.
  public func writeExplanation(ruleVersion: String, risks: [UInt8], into json: inout JSONWriter) {
    json.beginObject()
    writeOutcome(ruleVersion: ruleVersion, risks: risks, into: &json)
    json.key("cause")
    writeCause(into: &json)
    json.endObject()
  }

  /// Writes the members of the explanation, except the cause, into an object.
  public func writeOutcome(ruleVersion: String, risks: [UInt8], into json: inout JSONWriter) {
    json.member("ruleVersion", ruleVersion)
    json.member("stage", unescaped: assessment.stage.rawValue)
    json.key("score")
    json.double(assessment.score)
    json.member("riskLevel", unescaped: assessment.level.rawValue)
    json.key("contributions")
    assessment.writeContributions(into: &json)
    json.key("risks")
    json.raw(risks)
    json.key("candidates")
    writeCandidates(into: &json)
    // With which the decision came out as it did. Without it no later log could be judged.
    json.key("probability")
    json.int(1)
    if let isHeldOut {
      json.key("holdout")
      json.bool(isHeldOut)
    }
  }

  /// Writes the cause as a JSON object: source, id and type.
  public func writeCause(into json: inout JSONWriter) {
    json.beginObject()
    switch cause {
    case .event(let incoming):
      json.member("source", incoming.event.source)
      json.member("id", incoming.event.sourceEventID)
      json.member("type", incoming.event.type)
    case .time:
      json.member("source", Cause.timeSource)
      json.member("id", id)
      json.member("type", Cause.timeType)
    case .historyChange:
      json.member("source", Cause.historySource)
      json.member("id", id)
      json.member("type", Cause.historyType)
    case .recomputation:
      json.member("source", Cause.recomputationSource)
      json.member("id", id)
      json.member("type", Cause.recomputationType)
    }
    json.endObject()
  }

  /// Writes the candidates as a JSON array, best first, each with its verdict.
  public func writeCandidates(into json: inout JSONWriter) {
    json.beginArray()
    for (candidate, verdict) in zip(assessment.candidates, decision.verdicts) {
      json.beginObject()
      json.member("action", unescaped: candidate.action.rawValue)
      json.member("channel", candidate.channel.rawValue)
      json.key("trigger")
      json.unescaped(candidate.trigger.label)
      json.member("reason", candidate.reason)
      switch verdict {
      case .chosen:
        json.key("verdict")
        json.unescaped("chosen" as StaticString)
      case .outranked(let by):
        json.key("verdict")
        json.unescaped("outranked" as StaticString)
        json.member("by", unescaped: by.rawValue)
      case .coolingDown(let id, let until):
        json.key("verdict")
        json.unescaped("cooling_down" as StaticString)
        json.member("openAction", id)
        json.member("until", until)
      case .open(let id, let times):
        json.key("verdict")
        json.unescaped("open" as StaticString)
        json.member("openAction", id)
        json.key("times")
        json.int(Int64(times))
      case .snoozed(let id, let until):
        json.key("verdict")
        json.unescaped("snoozed" as StaticString)
        json.member("openAction", id)
        json.member("until", until)
      case .pausing(let id, let state, let until):
        json.key("verdict")
        json.unescaped("pausing" as StaticString)
        json.member("lastAction", id)
        json.member("after", unescaped: state.rawValue)
        json.member("until", until)
      case .unreachable(let id):
        json.key("verdict")
        json.unescaped("unreachable" as StaticString)
        json.member("lastAction", id)
      case .doNotContact(let record, let since):
        json.key("verdict")
        json.unescaped("do_not_contact" as StaticString)
        json.member("record", record)
        json.member("since", since)
      case .noConsent(let purpose):
        json.key("verdict")
        json.unescaped("no_consent" as StaticString)
        json.member("purpose", purpose)
      case .heldOut:
        json.key("verdict")
        json.unescaped("held_out" as StaticString)
      case .limited(let rule, let until):
        json.key("verdict")
        json.unescaped("limited" as StaticString)
        json.member("rule", unescaped: rule.rawValue)
        json.member("until", until)
      case .quiet(let until, let zone):
        json.key("verdict")
        json.unescaped("quiet_hours" as StaticString)
        json.member("until", until)
        json.member("zone", zone)
      case .unsuitable(let risk):
        json.key("verdict")
        json.unescaped("unsuitable" as StaticString)
        json.member("risk", unescaped: risk.rawValue)
      case .withheld:
        json.key("verdict")
        json.unescaped("withheld" as StaticString)
      }
      json.endObject()
    }
    json.endArray()
  }
}

extension Assessment {
  /// Writes the risks as a JSON array of `{risk, evidence, since}`.
  public func writeRisks(into json: inout JSONWriter) {
    json.beginArray()
    for risk in risks {
      json.beginObject()
      json.member("risk", unescaped: risk.risk.rawValue)
      json.member("evidence", risk.evidence)
      json.member("since", risk.since)
      json.endObject()
    }
    json.endArray()
  }

  /// Writes the parts of the score as a JSON array of `{source, points}`.
  public func writeContributions(into json: inout JSONWriter) {
    json.beginArray()
    for part in contributions {
      json.beginObject()
      json.key("source")
      json.unescaped(part.source.label)
      json.key("points")
      json.double(part.points)
      json.endObject()
    }
    json.endArray()
  }

  /// Writes the names of the candidates' actions as a JSON array, best first: `recommended_actions` of the design
  /// document.
  public func writeRecommendedActions(into json: inout JSONWriter) {
    json.beginArray()
    for candidate in candidates { json.unescaped(candidate.action.rawValue) }
    json.endArray()
  }
}
