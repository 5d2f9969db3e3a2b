/// A risk that holds, with what shows it.
public struct DetectedRisk: Hashable, Sendable {
  public var risk: Risk
  /// A sentence with the figures, for a person.
  public var evidence: String
  /// Since when, where that is known.
  public var since: Timestamp?
}

extension RiskRules {
  /// The risks that hold at `now`, in the order in which the design document detects them, the adapter's own after those.
  public func detect(in summary: ClientSummary, at now: Timestamp) -> [DetectedRisk] {
    var found: [DetectedRisk] = []
    if let rule = lowEngagement { append(&found, engagement(summary, rule, now)) }
    if let rule = lateInvoices { append(&found, invoices(summary, rule)) }
    if let rule = negativeSentiment { append(&found, sentiment(summary, rule)) }
    if let rule = slowProgress { append(&found, progress(summary, rule, now)) }
    if let rule = lowUsage { append(&found, usage(summary, rule)) }
    if let rule = highTickets { append(&found, tickets(summary, rule, now)) }
    return found
  }

  /// The next moment after `now` at which a risk starts or ends although nothing happens, or nil where there is none.
  public func nextChange(of summary: ClientSummary, after now: Timestamp) -> Timestamp? {
    var moments: [Timestamp] = []
    if let rule = lowEngagement, summary.recent.count >= rule.events {
      moments.append(firstMomentOutside(summary.recent[rule.events - 1].stamp.at, rule.window))
    }
    if let rule = highTickets, summary.tickets.count >= rule.tickets {
      moments.append(firstMomentOutside(summary.tickets[rule.tickets - 1].at, rule.window))
    }
    // A delay is a risk already: silence after it changes nothing.
    if let rule = slowProgress, summary.progress?.kind != .delayed, let quiet = quietSince(summary) {
      moments.append(quiet + rule.silence)
    }
    return moments.filter { $0 > now }.min()
  }

  private func append(_ list: inout [DetectedRisk], _ risk: DetectedRisk?) {
    if let risk { list.append(risk) }
  }

  /// An event counts for as long as `at >= now - window`.
  private func firstMomentOutside(_ at: Timestamp, _ window: TimeSpan) -> Timestamp {
    at + window + TimeSpan(microseconds: 1)
  }

  private func engagement(_ summary: ClientSummary, _ rule: LowEngagement, _ now: Timestamp) -> DetectedRisk? {
    let counted = summary.recent.prefix { $0.stamp.at >= now - rule.window }.count
    guard counted < rule.events else { return nil }
    let since =
      summary.recent.count >= rule.events
      ? firstMomentOutside(summary.recent[rule.events - 1].stamp.at, rule.window) : nil
    return DetectedRisk(
      risk: .lowEngagement,
      evidence: "\(count(counted, "event")) in the last \(rule.window.inDays) days, fewer than \(rule.events)", since: since)
  }

  private func invoices(_ summary: ClientSummary, _ rule: LateInvoiceRule) -> DetectedRisk? {
    switch rule {
    case .everOverdue:
      guard let notice = summary.overdueNotice else { return nil }
      return DetectedRisk(
        risk: .lateInvoices, evidence: "an invoice was overdue, last on \(notice.at.iso8601Date)", since: notice.at)
    case .untilSettled:
      let late = summary.lateInvoices
      guard late.count > 0, let oldest = late.oldest.first else { return nil }
      let number = late.count >= LateInvoices.countLimit ? "\(late.count) or more invoices" : count(late.count, "invoice")
      return DetectedRisk(
        risk: .lateInvoices, evidence: "\(number) overdue, the oldest (\(oldest.id)) since \(oldest.overdueAt.iso8601Date)",
        since: oldest.overdueAt)
    }
  }

  private func sentiment(_ summary: ClientSummary, _ rule: NegativeSentiment) -> DetectedRisk? {
    let looked = summary.recent.prefix(rule.among)
    let negative = looked.filter(\.isNegative)
    guard negative.count >= rule.events, let last = negative.first else { return nil }
    return DetectedRisk(
      risk: .negativeSentiment,
      evidence: "\(negative.count) of the last \(count(looked.count, "event")) negative, the newest on \(last.stamp.at.iso8601Date)",
      since: negative[rule.events - 1].stamp.at)
  }

  /// From when on silence in an active project is counted; nil outside of one.
  private func quietSince(_ summary: ClientSummary) -> Timestamp? {
    guard let stage = summary.stage, stage.stage == .activeProject else { return nil }
    return max(stage.stamp.at, summary.progress?.stamp.at ?? stage.stamp.at)
  }

  private func progress(_ summary: ClientSummary, _ rule: SlowProgress, _ now: Timestamp) -> DetectedRisk? {
    if let last = summary.progress, last.kind == .delayed {
      return DetectedRisk(
        risk: .slowProjectProgress, evidence: "delayed since \(last.stamp.at.iso8601Date), no progress after that", since: last.stamp.at)
    }
    guard let quiet = quietSince(summary), now >= quiet + rule.silence else { return nil }
    return DetectedRisk(
      risk: .slowProjectProgress,
      evidence: "no progress in the active project since \(quiet.iso8601Date) (\((now - quiet).inDays) days)", since: quiet + rule.silence)
  }

  private func usage(_ summary: ClientSummary, _ rule: LowUsage) -> DetectedRisk? {
    guard let usage = summary.usage, usage.percent < rule.percent else { return nil }
    return DetectedRisk(
      risk: .lowFeatureUsage,
      evidence: "usage \(short(usage.percent)) % on \(usage.stamp.at.iso8601Date), under \(short(rule.percent)) %", since: usage.stamp.at)
  }

  private func tickets(_ summary: ClientSummary, _ rule: HighTickets, _ now: Timestamp) -> DetectedRisk? {
    let counted = summary.tickets.prefix { $0.at >= now - rule.window }
    guard counted.count >= rule.tickets else { return nil }
    let number = counted.count == ClientSummary.ticketLimit ? "\(counted.count) or more" : "\(counted.count)"
    return DetectedRisk(
      risk: .highSupportTickets, evidence: "\(number) tickets opened in the last \(rule.window.inDays) days, \(rule.tickets) are many",
      since: summary.tickets[rule.tickets - 1].at)
  }

  private func count(_ n: Int, _ noun: String) -> String { n == 1 ? "1 \(noun)" : "\(n) \(noun)s" }

  private func short(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
  }
}

extension TimeSpan {
  fileprivate var inDays: Int64 { microseconds / TimeSpan.days(1).microseconds }
}
