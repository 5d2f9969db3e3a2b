/// Something in the decision rules that cannot have the effect that it seems to have.
public struct RulesFinding: Hashable, Sendable {
  /// The key in decisions.yaml.
  public var key: String
  public var problem: String

  init(_ key: String, _ problem: String) {
    self.key = key
    self.problem = problem
  }
}

extension DecisionRules {
  /// Finds actions that can never be chosen, rules of the contact policy that forbid nothing, and signals that no event
  /// carries.
  /// - Parameter types: the event types that there are.
  public func findings(types: Set<String>) -> [RulesFinding] {
    candidateFindings + contactFindings + signalFindings(types)
  }

  private var enabledRisks: [Risk] {
    let enabled: [(Risk, Bool)] = [
      (.lowEngagement, risks.lowEngagement != nil), (.lateInvoices, risks.lateInvoices != nil),
      (.negativeSentiment, risks.negativeSentiment != nil), (.slowProjectProgress, risks.slowProgress != nil),
      (.lowFeatureUsage, risks.lowUsage != nil), (.highSupportTickets, risks.highTickets != nil),
    ]
    return enabled.filter(\.1).map(\.0)
  }

  private var candidateFindings: [RulesFinding] {
    let enabled = Set(enabledRisks)
    var found: [RulesFinding] = [], seen: [ActionRules.RiskChoice] = []
    for (index, entry) in actions.byRisk.enumerated() {
      let key = "actions.byRisk[\(index)]"
      if !enabled.contains(entry.risk) {
        found.append(
          RulesFinding(
            key, "\(entry.risk.rawValue) is switched off, so \(entry.choice.action.rawValue) never follows from it"))
      } else if seen.contains(where: { $0.risk == entry.risk && $0.choice.action == entry.choice.action }) {
        found.append(
          RulesFinding(
            key,
            "\(entry.choice.action.rawValue) follows from \(entry.risk.rawValue) already, so this entry never counts"))
      }
      seen.append(entry)
    }
    for risk in enabledRisks where !actions.byRisk.contains(where: { $0.risk == risk }) {
      found.append(RulesFinding("actions.byRisk", "no action follows from \(risk.rawValue)"))
    }
    return found
  }

  /// The kinds that a stage or a risk that is switched on asks for.
  private var chosenKinds: [ActionKind] {
    let enabled = Set(enabledRisks)
    let chosen = Set(
      Stage.allCases.compactMap { actions.byStage[$0]?.action }
        + actions.byRisk.filter { enabled.contains($0.risk) }.map(\.choice.action))
    return ActionKind.allCases.filter(chosen.contains)
  }

  private var contactFindings: [RulesFinding] {
    guard let contact = actions.contact else { return [] }
    let kinds = Set(chosenKinds), enabled = Set(enabledRisks)
    let channels = Set(kinds.filter { actions.actionClass(of: $0) == .standard }.map(actions.channel(of:)))
    var found: [RulesFinding] = []
    func needs(_ kind: ActionKind, _ key: String) {
      guard !kinds.contains(kind) else { return }
      found.append(RulesFinding("actions.contact.\(key).\(kind.rawValue)", "nothing asks for this action"))
    }
    func needs(_ channel: Channel, _ key: String) {
      guard !channels.contains(channel) else { return }
      found.append(
        RulesFinding(
          "actions.contact.\(key).\(channel.rawValue)",
          "no action that is asked for, and is of the class default, has this channel"))
    }
    for kind in ActionKind.allCases {
      if contact.pauses[kind] != nil { needs(kind, "pauses") }
      if contact.classes[kind] != nil { needs(kind, "classes") }
      if let risks = contact.unsuitable[kind] {
        needs(kind, "unsuitable")
        let triggers = actions.byRisk.filter { $0.choice.action == kind }.map(\.risk)
        let isOfStage = Stage.allCases.contains { actions.byStage[$0]?.action == kind }
        if !isOfStage, !triggers.isEmpty, risks.isSuperset(of: triggers) {
          found.append(
            RulesFinding(
              "actions.contact.unsuitable.\(kind.rawValue)", "only these risks ask for it, so it is never chosen"))
        }
        for risk in Risk.allCases where risks.contains(risk) && !enabled.contains(risk) {
          found.append(
            RulesFinding("actions.contact.unsuitable.\(kind.rawValue)", "\(risk.rawValue) is switched off"))
        }
      }
    }
    func sorted(_ channels: some Sequence<Channel>) -> [Channel] { channels.sorted { $0.rawValue < $1.rawValue } }
    for channel in sorted(contact.limits.keys) { needs(channel, "limits") }
    for channel in sorted(contact.consent.keys) { needs(channel, "consent") }
    if let quietHours = contact.quietHours {
      for channel in sorted(quietHours.channels) { needs(channel, "quietHours") }
    }
    if let holdout = contact.holdout { for channel in sorted(holdout.channels) { needs(channel, "holdout") } }
    return found
  }

  private func signalFindings(_ types: Set<String>) -> [RulesFinding] {
    let types = types.union(expectations.flatMap { [$0.otherwise] + $0.after + $0.expected })
    let lists = [
      ("ticketOpened", signals.ticketOpened), ("invoiceOverdue", signals.invoiceOverdue),
      ("invoiceSettled", signals.invoiceSettled), ("progressAdvanced", signals.progressAdvanced),
      ("progressDelayed", signals.progressDelayed), ("usage", Set(signals.usage.keys)),
    ]
    return lists.flatMap { name, list in
      list.subtracting(types).sorted().map {
        RulesFinding("signals.\(name)", "\($0): there is no such event type")
      }
    }
  }
}
