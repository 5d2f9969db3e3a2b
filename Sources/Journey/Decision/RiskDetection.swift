/// A risk that holds, with its evidence.
public struct DetectedRisk: Hashable, Sendable {
  public var risk: Risk
  /// A sentence with the figures.
  public var evidence: String
  /// Since when the risk holds; nil if unknown.
  public var since: Timestamp?
}

extension RiskRules {
  /// The risks that hold at `now`: first those of the design document in its order, then the adapter's own.
  /// - Parameter frozenSince: as of when risks that come from silence are judged; nil: `now`.
  public func detect(
    in summary: ClientSummary, at now: Timestamp, frozenSince: Timestamp? = nil
  ) -> [DetectedRisk] {
    var found: [DetectedRisk] = []
    let silence = frozenSince.map { min($0, now) } ?? now
    if let rule = lowEngagement { append(&found, asOf(frozenSince, engagement(summary, rule, silence))) }
    if let rule = lateInvoices { append(&found, invoices(summary, rule)) }
    if let rule = negativeSentiment { append(&found, sentiment(summary, rule)) }
    if let rule = slowProgress { append(&found, asOf(frozenSince, progress(summary, rule, silence))) }
    if let rule = lowUsage { append(&found, usage(summary, rule)) }
    if let rule = highTickets { append(&found, tickets(summary, rule, now)) }
    return found
  }

  /// The next moment after `now` at which a risk begins or ends without an event; nil if there is none.
  ///
  /// - Parameter frozenSince: what came from silence since then takes effect when the organisation is not frozen any
  ///   more. Nothing says when that is, so the client is looked at every hour.
  public func nextChange(
    of summary: ClientSummary, after now: Timestamp, frozenSince: Timestamp? = nil
  ) -> Timestamp? {
    var next: Timestamp?
    func record(_ moment: Timestamp) { if moment > now { next = next.map { min($0, moment) } ?? moment } }
    func recordSilence(_ moment: Timestamp) {
      guard let frozenSince, moment > frozenSince else { return record(moment) }
      record(max(moment, now + .hours(1)))
    }
    if let rule = lowEngagement,
      let deciding = EventCount(overlap).deciding(rule.events, among: engaged(summary, rule))
    {
      recordSilence(firstMomentOutside(deciding.at, rule.window))
    }
    if let rule = highTickets, let deciding = EventCount(overlap).deciding(rule.tickets, among: summary.tickets) {
      record(firstMomentOutside(deciding.at, rule.window))
    }
    // A delay is already a risk, so silence after it changes nothing.
    if let rule = slowProgress, summary.progress?.kind != .delayed, let quiet = quietSince(summary) {
      recordSilence(quiet + rule.silence)
    }
    return next
  }

  /// Says of a risk that it is not judged as of now.
  private func asOf(_ frozenSince: Timestamp?, _ risk: DetectedRisk?) -> DetectedRisk? {
    guard let frozenSince, var risk else { return risk }
    risk.evidence += " (as of \(frozenSince.iso8601Date): since then a source is silent)"
    return risk
  }

  private func append(_ list: inout [DetectedRisk], _ risk: DetectedRisk?) {
    if let risk { list.append(risk) }
  }

  /// An event counts for as long as `at >= now - window`.
  private func firstMomentOutside(_ at: Timestamp, _ window: TimeSpan) -> Timestamp {
    at + window + TimeSpan(microseconds: 1)
  }

  private func engaged(_ summary: ClientSummary, _ rule: LowEngagement) -> [ClientSummary.Entry] {
    rule.counts == .own ? summary.own : summary.recent
  }

  private func engagement(_ summary: ClientSummary, _ rule: LowEngagement, _ now: Timestamp) -> DetectedRisk? {
    let engaged = engaged(summary, rule)
    let within = engaged.prefix { $0.at >= now - rule.window }
    let count = EventCount(overlap)
    let deciding = count.deciding(rule.events, among: engaged)
    if let deciding, deciding.at >= now - rule.window { return nil }
    let evidence = String { text in
      text.append(count.count(within), of: "event")
      text.append(rule.counts == .own ? " by the client in the last " : " in the last ")
      text.append(decimal: rule.window.inDays)
      text.append(" days, fewer than ")
      text.append(decimal: Int64(rule.events))
      count.explain(within, into: &text)
    }
    return DetectedRisk(
      risk: .lowEngagement, evidence: evidence, since: deciding.map { firstMomentOutside($0.at, rule.window) })
  }

  private func invoices(_ summary: ClientSummary, _ rule: LateInvoiceRule) -> DetectedRisk? {
    switch rule {
    case .everOverdue:
      guard let notice = summary.overdueNotice else { return nil }
      let evidence = String { text in
        text.append("an invoice was overdue, last on ")
        text.append(dateOf: notice.at)
      }
      return DetectedRisk(risk: .lateInvoices, evidence: evidence, since: notice.at)
    case .untilSettled:
      let late = summary.lateInvoices
      guard late.count > 0, let oldest = late.oldest.first else { return nil }
      let evidence = String { text in
        if late.count >= LateInvoices.countLimit {
          text.append(decimal: Int64(late.count))
          text.append(" or more invoices")
        } else {
          text.append(late.count, of: "invoice")
        }
        text.append(" overdue, the oldest (")
        text.append(oldest.id)
        text.append(") since ")
        text.append(dateOf: oldest.overdueAt)
      }
      return DetectedRisk(risk: .lateInvoices, evidence: evidence, since: oldest.overdueAt)
    }
  }

  private func sentiment(_ summary: ClientSummary, _ rule: NegativeSentiment) -> DetectedRisk? {
    let looked = min(rule.among, summary.recent.count)
    let recent = summary.recent[..<looked]
    guard recent.count(where: \.isNegative) >= rule.events else { return nil }
    let negative = recent.filter(\.isNegative), count = EventCount(overlap)
    guard let newest = negative.first, let deciding = count.deciding(rule.events, among: negative) else { return nil }
    let evidence = String { text in
      text.append(decimal: Int64(count.count(negative)))
      text.append(" of the last ")
      text.append(looked, of: "event")
      text.append(" negative, the newest on ")
      text.append(dateOf: newest.at)
      count.explain(negative, into: &text)
    }
    return DetectedRisk(risk: .negativeSentiment, evidence: evidence, since: deciding.at)
  }

  /// The start of the silence in an active project; nil if the project is not active.
  private func quietSince(_ summary: ClientSummary) -> Timestamp? {
    guard let stage = summary.stage, stage.stage == .activeProject else { return nil }
    return max(stage.stamp.at, summary.progress?.stamp.at ?? stage.stamp.at)
  }

  private func progress(_ summary: ClientSummary, _ rule: SlowProgress, _ now: Timestamp) -> DetectedRisk? {
    if let last = summary.progress, last.kind == .delayed {
      let evidence = String { text in
        text.append("delayed since ")
        text.append(dateOf: last.stamp.at)
        text.append(", no progress after that")
      }
      return DetectedRisk(risk: .slowProjectProgress, evidence: evidence, since: last.stamp.at)
    }
    guard let quiet = quietSince(summary), now >= quiet + rule.silence else { return nil }
    let evidence = String { text in
      text.append("no progress in the active project since ")
      text.append(dateOf: quiet)
      text.append(" (")
      text.append(decimal: (now - quiet).inDays)
      text.append(" days)")
    }
    return DetectedRisk(risk: .slowProjectProgress, evidence: evidence, since: quiet + rule.silence)
  }

  private func usage(_ summary: ClientSummary, _ rule: LowUsage) -> DetectedRisk? {
    guard let usage = summary.usage, usage.percent < rule.percent else { return nil }
    let evidence = String { text in
      text.append("usage ")
      text.append(short(usage.percent))
      text.append(" % on ")
      text.append(dateOf: usage.stamp.at)
      text.append(", under ")
      text.append(short(rule.percent))
      text.append(" %")
    }
    return DetectedRisk(risk: .lowFeatureUsage, evidence: evidence, since: usage.stamp.at)
  }

  private func tickets(_ summary: ClientSummary, _ rule: HighTickets, _ now: Timestamp) -> DetectedRisk? {
    let within = summary.tickets.prefix { $0.at >= now - rule.window }
    let count = EventCount(overlap)
    guard let deciding = count.deciding(rule.tickets, among: within) else { return nil }
    let evidence = String { text in
      text.append(decimal: Int64(count.count(within)))
      if within.count == ClientSummary.keptTickets { text.append(" or more") }
      text.append(" tickets opened in the last ")
      text.append(decimal: rule.window.inDays)
      text.append(" days, ")
      text.append(decimal: Int64(rule.tickets))
      text.append(" are many")
      count.explain(within, into: &text)
    }
    return DetectedRisk(risk: .highSupportTickets, evidence: evidence, since: deciding.at)
  }

  private func short(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
  }
}

extension TimeSpan {
  fileprivate var inDays: Int64 { microseconds / TimeSpan.days(1).microseconds }
}
