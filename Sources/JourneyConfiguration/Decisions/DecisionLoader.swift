import FoundationEssentials
public import Journey
import Yams

/// Reads `decisions.yaml`: the rules of the decision. A key that the file omits keeps its built-in value, except
/// `evaluateOverTime`, which is then off.
public enum DecisionLoader {
  /// - Throws: `SettingsError` with all problems of the file, a line each, by file, line, column and key.
  public static func load(file: String) throws(SettingsError) -> DecisionRules {
    guard let text = YAMLDocument.text(of: file) else {
      throw SettingsError("\(file): the file of decisions cannot be read as UTF-8 text")
    }
    return try load(yaml: text, file: file)
  }

  /// - Parameter file: the name of the text in problems.
  public static func load(yaml text: String, file: String) throws(SettingsError) -> DecisionRules {
    let problems = YAMLDiagnosticList(file: file)
    var rules = DecisionRules()
    // Files of earlier versions do not have the key, and their actions may have no cooldown.
    rules.evaluatesOverTime = false
    if let root = YAMLDocument.root(of: text, problems) {
      root.readDecisions(into: &rules)
      if rules.actions.contact != nil, rules.actions.life == nil {
        root.report("actions.contact needs actions.life, which says what has reached the client")
      }
      if rules.actions.life != nil, !rules.evaluatesOverTime {
        root.report("actions.life needs evaluateOverTime: true, because actions also end as time passes")
      }
    }
    guard problems.problems.isEmpty else {
      throw SettingsError(problems.problems.map(\.description).joined(separator: "\n"))
    }
    return rules
  }
}

extension YAMLField {
  fileprivate func readDecisions(into rules: inout DecisionRules) {
    var contracts: YAMLField?
    var own: Set<String> = []
    read(
      into: &rules,
      [
        "version": { if let text = $0.text() { $1.version = text } },
        "evaluateOverTime": { if let bool = $0.bool() { $1.evaluatesOverTime = bool } },
        "evaluate": { if let cadence: DecisionRules.Cadence = $0.keyword() { $1.evaluation = cadence } },
        "recordInputs": { if let bool = $0.bool() { $1.recordsInputs = bool } },
        "score": { $0.readScore(into: &$1.score) },
        "levels": { $0.readLevels(into: &$1.levels) },
        "risks": { $0.readRisks(into: &$1.risks) },
        "actions": { $0.readActions(into: &$1.actions) },
        "signals": { $0.readSignals(into: &$1.signals) },
        "feedOutage": {
          $0.read(
            into: &$1.feedOutage, defaultValue: FeedOutage(),
            [
              "longerThan": { $0.set(&$1.longerThan) }, "atLeast": { $0.set(&$1.atLeast) },
              "knownFor": { $0.set(&$1.knownFor) }, "givenUpAfter": { $0.set(&$1.givenUpAfter) },
            ])
        },
        "expectations": { field, _ in contracts = field },
        "eventTypes": { field, _ in field.set(&own) },
        "overlappingSources": { if let overlap: RiskRules.Overlap = $0.keyword() { $1.risks.overlap = overlap } },
        "lowerBounds": {
          if let bounds: SignalRules.LowerBounds = $0.keyword() { $1.signals.lowerBounds = bounds }
        },
        "sameInstant": {
          if let order: SignalRules.SameInstant = $0.keyword() { $1.signals.sameInstant = order }
        },
      ])
    // Last, because a contract may name a type that another part of the file declares.
    if let contracts { rules.expectations = contracts.contracts(own.union(rules.signals.types)) }
    let types = EventTypes.all.map(\.type) + own
    for type in (rules.actions.contact?.unsubscribes ?? [:]).keys.sorted() where !types.contains(type) {
      report(
        "actions.contact.unsubscribes: \(type) is no event type",
        hint: nearest(type, among: types).map { "did you mean \($0)?" }
          ?? "journey mappings describe lists them; name one of your own in eventTypes: [\(type)]")
    }
  }

  private func readScore(into score: inout ScoreRules) {
    read(
      into: &score,
      [
        "base": { $0.set(&$1.base) }, "perStage": { $0.set(&$1.perStage) }, "perRisk": { $0.set(&$1.perRisk) },
        "minimum": { $0.set(&$1.minimum) },
      ])
  }

  private func readLevels(into levels: inout LevelRules) {
    read(
      into: &levels,
      [
        "medium": { $0.set(&$1.medium, 1...6) }, "high": { $0.set(&$1.high, 1...6) },
        "critical": { $0.set(&$1.critical, 1...6) },
        "priorities": { field, levels in
          for (name, value) in field.pairs() {
            guard let level = RiskLevel(rawValue: name) else {
              value.report("no such risk level", hint: names(RiskLevel.self)); continue
            }
            levels.priorities[level] = value.keyword()
          }
        },
      ])
    guard levels.medium <= levels.high, levels.high <= levels.critical else {
      return report("medium, high and critical have to rise")
    }
  }

  private func readRisks(into risks: inout RiskRules) {
    read(
      into: &risks,
      [
        "low_engagement": {
          $0.read(
            into: &$1.lowEngagement, defaultValue: RiskRules.LowEngagement(),
            [
              "fewerThan": { $0.set(&$1.events, 1...ClientSummary.recentLimit) }, "within": { $0.set(&$1.window) },
              "by": { if let counts: RiskRules.LowEngagement.Counted = $0.keyword() { $1.counts = counts } },
            ])
        },
        "late_invoices": { $1.lateInvoices = $0.isOff ? nil : $0.keyword() },
        "negative_sentiment": {
          $0.read(
            into: &$1.negativeSentiment, defaultValue: RiskRules.NegativeSentiment(),
            [
              "atLeast": { $0.set(&$1.events, 1...ClientSummary.recentLimit) },
              "among": { $0.set(&$1.among, 1...ClientSummary.recentLimit) },
            ])
        },
        "slow_project_progress": {
          $0.read(
            into: &$1.slowProgress, defaultValue: RiskRules.SlowProgress(), ["silentFor": { $0.set(&$1.silence) }])
        },
        "low_feature_usage": {
          $0.read(into: &$1.lowUsage, defaultValue: RiskRules.LowUsage(), ["belowPercent": { $0.set(&$1.percent) }])
        },
        "high_support_tickets": {
          $0.read(
            into: &$1.highTickets, defaultValue: RiskRules.HighTickets(),
            [
              "atLeast": { $0.set(&$1.tickets, 1...ClientSummary.ticketLimit) }, "within": { $0.set(&$1.window) },
            ])
        },
      ])
  }

  private func readActions(into actions: inout ActionRules) {
    read(
      into: &actions,
      [
        "byStage": { field, actions in
          actions.byStage = [:]
          for (name, value) in field.pairs() {
            guard let stage = Stage(rawValue: name) else {
              value.report("no such stage", hint: names(Stage.self)); continue
            }
            actions.byStage[stage] = value.choice()
          }
        },
        "byRisk": { field, actions in
          actions.byRisk = []
          for (name, value) in (field.elements() ?? []).flatMap({ $0.pairs() }) {
            guard let risk = Risk(rawValue: name) else {
              value.report("no such risk", hint: names(Risk.self)); continue
            }
            if let choice = value.choice() { actions.byRisk.append(ActionRules.RiskChoice(risk, choice)) }
          }
        },
        "reasons": { field, actions in
          for (action, value) in field.actions() { actions.reasons[action] = value.text().map(ReasonTemplate.init(_:)) }
        },
        "channels": { field, actions in
          for (action, value) in field.actions() { actions.channels[action] = value.channel() }
        },
        "cooldown": { $0.set(&$1.cooldown) },
        "expiresAfter": { field, actions in
          guard field.isMapping else { return field.set(optional: &actions.expiry) }
          for (name, value) in field.pairs() {
            guard name != "default" else { value.set(optional: &actions.expiry); continue }
            guard let kind = value.action(named: name) else { continue }
            var span: TimeSpan?
            value.set(optional: &span)
            actions.expiryOfKind[kind] = .some(span)
          }
        },
        "contact": { $0.readContact(into: &$1.contact) },
        "life": {
          $0.read(
            into: &$1.life, defaultValue: LifeRules(),
            [
              "noResponseAfter": { $0.set(&$1.noResponseAfter) }, "afterRejection": { $0.set(&$1.afterRejection) },
              "afterNoResponse": { $0.set(&$1.afterNoResponse) }, "afterExpiry": { $0.set(&$1.afterExpiry) },
              "followUpFrom": { $1.followUpFrom = $0.isOff ? nil : $0.keyword() },
              "revoke": { if let bool = $0.bool() { $1.revokes = bool } },
            ])
        },
      ])
  }

  private func readSignals(into signals: inout SignalRules) {
    read(
      into: &signals,
      [
        "ticketOpened": { $0.set(&$1.ticketOpened) }, "invoiceOverdue": { $0.set(&$1.invoiceOverdue) },
        "invoiceSettled": { $0.set(&$1.invoiceSettled) }, "progressAdvanced": { $0.set(&$1.progressAdvanced) },
        "progressDelayed": { $0.set(&$1.progressDelayed) },
        "usage": { field, signals in
          signals.usage = [:]
          for (type, value) in field.pairs() {
            signals.usage[type] = .some(value.node.scalar?.string == "reported" ? nil : value.number())
          }
        },
      ])
  }

  /// An action's name, or `{action: …, reason: …}`.
  private func choice() -> ActionRules.Choice? {
    guard isMapping else { return keyword().map { ActionRules.Choice($0) } }
    guard let members = members(["action", "reason"]) else { return nil }
    guard let action: ActionKind = members["action"]?.keyword() else {
      if members["action"] == nil { report("action is missing") }
      return nil
    }
    return ActionRules.Choice(action, reason: members["reason"]?.text().map(ReasonTemplate.init(_:)))
  }

  private func channel() -> Channel? { text().flatMap(channel(named:)) }

  func channel(named text: String) -> Channel? {
    let known: [Channel] = [.email, .voice, .human]
    if let channel = known.first(where: { $0.rawValue == text }) { return channel }
    report(
      "\(text) is no channel: no queue is bound for it",
      hint: "known here: " + known.map(\.rawValue).joined(separator: ", "))
    return nil
  }

  func actions() -> [(ActionKind, YAMLField)] {
    pairs().compactMap { name, value in value.action(named: name).map { ($0, value) } }
  }

  private func action(named name: String) -> ActionKind? {
    if let action = ActionKind(rawValue: name) { return action }
    report("no such action", hint: names(ActionKind.self))
    return nil
  }
}
