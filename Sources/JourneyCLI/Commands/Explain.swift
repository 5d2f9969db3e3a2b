import ArgumentParser
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient

/// `journey explain CLIENT`
struct Explain: Command {
  static let configuration = CommandConfiguration(
    abstract:
      "Explain where a client stands: stage, score and its parts, risks with their evidence, the actions considered, and what would have to change.",
    discussion: """
      With --at it shows the decision that held at that time, as it was stored, and the events and actions that were known then.
      """,
    examples: [
      "journey explain ann@example.com",
      "journey explain ann@example.com --at 2026-11-20T10:00:00Z",
      "journey explain 6f9619ff-8b86-4d01-b42d-00c04fc964ff --limit 50",
      "journey explain cus_4711 --org ORG --json",
    ])

  @Argument(help: "The client's id, e-mail address, or id at a source.")
  var client: String

  @Option(help: "The organisation's id, if several have such a client.")
  var org: String?

  @Option(
    help: ArgumentHelp(
      "The decision that held at this time: 2026-11-20T10:00:00Z, 2026-11-20, or how long ago: 90m, 2h, 3d.",
      valueName: "time"))
  var at: String?

  @Option(help: "How many events, scores and actions to show at most.")
  var limit = 10

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings()
    let orgID = try org.map { try Input.id($0, "--org", of: "an organisation") }
    let time = try at.map { try DeadLetterFilterOptions.time($0, "--at") }
    let rules = try await settings.decisions()
    let found: (now: ClientReport?, past: PastReport?) = try await failing(.failed) {
      try await settings.withDatabase(plansByIndexes: true) {
        let reports = ClientReports(worker: $0, rules: rules)
        let id = try await find(reports, orgID), limit = max(1, min(limit, 1000))
        if let time { return (nil, try await reports.report(on: id, at: time, limit: limit)) }
        return (try await reports.report(on: id, limit: limit), nil)
      }
    }
    if let past = found.past {
      if output.json { printJSON(past.json) } else { show(past) }
    } else if let now = found.now {
      if output.json { printJSON(now.json) } else { show(now) }
    } else {
      throw Failure(.failed, "the client \(client) no longer exists")
    }
  }

  private func find(_ reports: ClientReports, _ orgID: UUID?) async throws -> UUID {
    let found = try await reports.find(client, orgID: orgID)
    guard let first = found.first else {
      throw Failure(.failed, "unknown client \(client); give its id, e-mail address, or id at a source")
    }
    guard found.count == 1 else {
      let lines = found.map { "  \($0.id.text)  organisation \($0.orgID.text)  \(($0.name ?? "").plain(200))" }
      throw Failure(
        .refusedInput,
        "\(client) matches \(found.count) clients; give one of these ids, or --org:\n" + lines.joined(separator: "\n"))
    }
    return first.id
  }

  private func show(_ report: ClientReport) {
    showName(of: report)
    Output.line(
      "",
      "organisation \(report.orgID.text), \(report.eventCount.of("event")), stage \((report.now?.stage ?? "none yet").plain())"
    )
    show(report.now, report.scores.first)
    report.now?.whatIf.show()
    showLists(of: report)
  }

  /// - Parameter latest: the latest stored score.
  private func show(_ now: ClientReport.Now?, _ latest: ClientReport.Score?) {
    if let due = now?.nextChange {
      Output.line("", "without new events the next change is at \(due.iso8601)")
    }
    let cause = latest?.explanation.flatMap { try? JSONDocument(parsing: $0) }?.root["cause"]
    if let now {
      Output.line("", "\nscore \(Self.number(now.score)), risk level \(now.riskLevel), as of \(now.asOf.iso8601)")
      show(
        now.explanation,
        now.isStored
          ? because(cause)
          : "not stored yet: since the last evaluation time has passed, or the host's data or the rules have changed",
        openings: now.openings)
    }
    // Also a score that the host wrote after the last evaluation: it is the one that the API returns.
    guard let latest, latest.explanation == nil || !(now?.isStored ?? false) else { return }
    Output.line(
      "",
      "\nstored: score \(Self.number(latest.score)), risk level \(latest.riskLevel), at \(latest.generatedAt.iso8601)")
    if let explanation = latest.explanation { show(explanation, because(cause)) }
  }

  /// - Parameter openings: for each candidate when it is possible again by itself.
  func show(_ explanation: [UInt8], _ cause: String, openings: [Timestamp?] = []) {
    guard let document = try? JSONDocument(parsing: explanation) else { return }
    let root = document.root
    for part in root["contributions"].map({ Array($0.elements) }) ?? [] {
      Output.line("  \(signed(part["points"]?.double ?? 0))  ", text(part["source"]))
    }
    for risk in root["risks"].map({ Array($0.elements) }) ?? [] {
      Output.line("  risk \(text(risk["risk"])): ", text(risk["evidence"]))
    }
    for (rank, candidate) in (root["candidates"].map { Array($0.elements) } ?? []).enumerated() {
      let opening = openings.indices.contains(rank) && candidate["until"] == nil ? openings[rank] : nil
      Output.line(
        "  \(rank + 1). ",
        "\(text(candidate["action"])) (\(text(candidate["trigger"]))): \(Self.verdict(candidate))"
          + (opening.map { ", again from \($0.iso8601) at the latest" } ?? ""))
    }
    Output.line("  ", "\(cause), rules \(text(root["ruleVersion"]))")
  }

  /// Evidence and causes quote the events.
  private func text(_ value: JSONValue?) -> String { (value?.string ?? "").plain(400) }

  func because(_ cause: JSONValue?) -> String {
    guard let cause else { return "cause unknown: the adapter did not make the latest score" }
    if cause["type"]?.string == "time_passed" { return "because time had passed, without a new event" }
    if cause["type"]?.string == "history_changed" {
      return "because the host changed the stored events, or two clients were merged"
    }
    if cause["type"]?.string == "recomputed" {
      return "because journey recompute evaluated the client again"
    }
    return "because of \(text(cause["type"])) \(text(cause["id"])) from \(text(cause["source"]))"
  }

  /// What became of a candidate, and what stands in its way.
  static func verdict(_ candidate: JSONValue) -> String {
    switch candidate["verdict"]?.string {
    case "chosen": "chosen - \((candidate["reason"]?.string ?? "").plain(400))"
    case "outranked": "outranked by \((candidate["by"]?.string ?? "").plain(400))"
    case "cooling_down":
      "published already (\((candidate["openAction"]?.string ?? "").plain(400))), again from \((candidate["until"]?.string ?? "").plain(400))"
    case "open":
      "published already (\((candidate["openAction"]?.string ?? "").plain(400))), and not answered; recommended again \(candidate["times"]?.int64.map { $0 == 1 ? "once" : "\($0) times" } ?? "")"
    case "snoozed":
      "snoozed by a person (\((candidate["openAction"]?.string ?? "").plain(400))) until \((candidate["until"]?.string ?? "").plain(400))"
    case "pausing":
      "passed over: the last one (\((candidate["lastAction"]?.string ?? "").plain(400))) is \((candidate["after"]?.string ?? "").plain(40)), again from \((candidate["until"]?.string ?? "").plain(400))"
    case "unreachable":
      "passed over: the client cannot be reached on this channel (\((candidate["lastAction"]?.string ?? "").plain(400)))"
    case "do_not_contact":
      "passed over: do not contact on this channel, since \((candidate["since"]?.string ?? "").plain(40)) (see journey consent show)"
    case "no_consent":
      "passed over: no consent to \((candidate["purpose"]?.string ?? "").plain(40)) on this channel (see journey consent show)"
    case "held_out":
      "passed over: the client is one of those that are left alone on this channel (holdout)"
    case "limited":
      "passed over: \(rule(candidate["rule"]?.string)), again from \((candidate["until"]?.string ?? "").plain(400))"
    case "quiet_hours":
      "waits for the end of the client's quiet hours, \((candidate["until"]?.string ?? "").plain(400)), by the clock of \((candidate["zone"]?.string ?? "").plain(80))"
    case "unsuitable":
      "passed over: not in the client's interest with \((candidate["risk"]?.string ?? "").plain(40))"
    case "withheld": "not published: history was loaded, or the client was only evaluated again"
    default: "unknown"
    }
  }

  private static func rule(_ name: String?) -> String {
    switch name.flatMap(ContactPolicy.Rule.init(rawValue:)) {
    case .limit: "the client has had as much on this channel as is allowed"
    case .gap: "the last one on this channel was too recent"
    case .pause: "the last one of its kind was too recent"
    case nil: "the contact policy forbids it"
    }
  }

  static func number(_ value: Double) -> String { value == value.rounded() ? "\(Int(value))" : "\(value)" }
  private func signed(_ value: Double) -> String { (value < 0 ? "" : "+") + Self.number(value) }
}
