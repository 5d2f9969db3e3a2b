import Journey

/// A difference between two sets of rules, for people and as JSON.
extension SimulatedDifference {
  func words(for reason: Reason) -> String {
    switch reason {
    case .risk(let risk, let isInChanged):
      let evidence = (isInChanged ? changed : current).evaluation?.assessment.risks.first { $0.risk == risk }?.evidence
      return "only the \(Self.rules(isInChanged)) find \(risk.rawValue)" + (evidence.map { ": \($0.plain(400))" } ?? "")
    case .stage(let current, let changed): return "the stage is \(changed.rawValue), not \(current.rawValue)"
    case .level(let current, let changed): return "the risk level is \(changed.rawValue), not \(current.rawValue)"
    case .candidate(let action, let isInChanged):
      return "only the \(Self.rules(isInChanged)) consider \(action.rawValue)"
    case .verdict(let action):
      return
        "\(action.rawValue) is by the current rules \(current.verdict(on: action)), by the changed rules \(changed.verdict(on: action))"
    case .time(let isInChanged): return "only the \(Self.rules(isInChanged)) evaluate the client at this time"
    }
  }

  private static func rules(_ isChanged: Bool) -> String { isChanged ? "changed rules" : "current rules" }
}

extension SimulatedDifference.Side {
  var words: String {
    let action = action?.rawValue ?? "no action"
    guard let evaluation else { return "\(action), not evaluated before" }
    let risks = evaluation.assessment.risks.map(\.risk.rawValue).joined(separator: ", ")
    return
      "\(action); stage \(evaluation.assessment.stage.rawValue), score \(Explain.number(evaluation.assessment.score)), risk level \(evaluation.assessment.level.rawValue)"
      + (risks.isEmpty ? "" : " (\(risks))")
  }

  var json: JSONObject {
    [
      "action": action.map { $0.rawValue as any Encodable } ?? JSONNull(), "evaluatedAt": evaluation?.at,
      "stage": evaluation?.assessment.stage.rawValue, "score": evaluation?.assessment.score,
      "riskLevel": evaluation?.assessment.level.rawValue,
      "risks": evaluation.map { RawJSON(JSONWriter.bytes($0.assessment.writeRisks)) },
      "candidates": evaluation.map { RawJSON(JSONWriter.bytes($0.writeCandidates)) },
    ]
  }

  fileprivate func verdict(on action: ActionKind) -> String {
    guard let evaluation, let index = evaluation.assessment.candidates.firstIndex(where: { $0.action == action }),
      let candidates = try? JSONDocument(parsing: JSONWriter.bytes(evaluation.writeCandidates))
    else { return "no candidate" }
    let candidate = Array(candidates.root.elements)[index]
    // The simulated actions are nowhere else, so their ids lead nowhere.
    guard let id = candidate["openAction"]?.string ?? candidate["lastAction"]?.string else {
      return Explain.verdict(candidate)
    }
    return Explain.verdict(candidate).replacing(" (\(id))", with: "")
  }
}

extension JSONWriter {
  fileprivate static func bytes(_ write: (inout JSONWriter) -> Void) -> [UInt8] {
    var json = JSONWriter(reservingCapacity: 1024)
    write(&json)
    return json.bytes
  }
}
