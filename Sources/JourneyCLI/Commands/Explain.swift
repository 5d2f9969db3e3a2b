import ArgumentParser
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient

/// `journey explain CLIENT`
struct Explain: Command {
  static let configuration = CommandConfiguration(
    abstract:
      "Explain where a client stands: stage, score and its parts, risks with their evidence, and the actions considered.",
    examples: [
      "journey explain ann@example.com",
      "journey explain 6f9619ff-8b86-4d01-b42d-00c04fc964ff --limit 50",
      "journey explain cus_4711 --org ORG --json",
    ])

  @Argument(help: "The client's id, e-mail address, or id at a source.")
  var client: String

  @Option(help: "The organisation's id, if several have such a client.")
  var org: String?

  @Option(help: "How many events, scores and actions to show at most.")
  var limit = 10

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings()
    let orgID = try org.map { try Input.id($0, "--org", of: "an organisation") }
    let rules = try await settings.decisions()
    let report = try await failing(.failed) {
      try await settings.withDatabase(plansByIndexes: true) {
        try await find(ClientReports(worker: $0, rules: rules), orgID)
      }
    }
    if output.json { printJSON(report.json) } else { show(report) }
  }

  private func find(_ reports: ClientReports, _ orgID: UUID?) async throws -> ClientReport {
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
    guard let report = try await reports.report(on: first.id, limit: max(1, min(limit, 1000))) else {
      throw Failure(.failed, "the client \(client) no longer exists")
    }
    return report
  }

  private func show(_ report: ClientReport) {
    Output.line("\((report.name ?? "(no name)").plain(200))  \((report.email ?? "").plain(200))  \(report.id.text)")
    Output.line(
      "",
      "organisation \(report.orgID.text), \(report.eventCount.of("event")), stage \((report.now?.stage ?? "none yet").plain())"
    )
    show(report.now, report.scores.first)
    if !report.actions.isEmpty {
      Output.line("\nactions")
      Output.table(
        ["decided", "action", "channel", "priority", "published", "state", "reason"],
        report.actions.map {
          [
            $0.decidedAt.iso8601, $0.action, $0.channel, $0.priority, $0.publishedAt?.iso8601 ?? "not yet", $0.state,
            $0.reason,
          ]
        }, indent: "  ")
      for action in report.actions where action.changedAt != nil {
        Output.line("  \(action.action.plain(60)) of \(action.decidedAt.toTheSecond)")
        Output.table(
          ["when", "what", "by", "detail"],
          ActionLife.rows((try? JSONDocument(parsing: action.history.bytes))?.root), indent: "    ")
      }
    }
    if !report.events.isEmpty {
      Output.line("\nevents, the newest first")
      Output.table(
        ["occurred", "type", "stage", "source", "id"],
        report.events.map {
          [$0.occurredAt.iso8601, $0.type, $0.setsStage ? $0.stage : "(\($0.stage))", $0.source, $0.sourceEventID]
        },
        indent: "  ")
    }
  }

  /// - Parameter latest: the latest stored score.
  private func show(_ now: ClientReport.Now?, _ latest: ClientReport.Score?) {
    if let due = now?.nextChange {
      Output.line("", "without new events the next change is at \(due.iso8601)")
    }
    let cause = latest?.explanation.flatMap { try? JSONDocument(parsing: $0) }?.root["cause"]
    if let now {
      Output.line("", "\nscore \(number(now.score)), risk level \(now.riskLevel), as of \(now.asOf.iso8601)")
      show(
        now.explanation,
        now.isStored
          ? because(cause)
          : "not stored yet: since the last evaluation time has passed, or the host's data or the rules have changed")
    }
    // Also a score that the host wrote after the last evaluation: it is the one that the API returns.
    guard let latest, latest.explanation == nil || !(now?.isStored ?? false) else { return }
    Output.line(
      "", "\nstored: score \(number(latest.score)), risk level \(latest.riskLevel), at \(latest.generatedAt.iso8601)")
    if let explanation = latest.explanation { show(explanation, because(cause)) }
  }

  private func show(_ explanation: [UInt8], _ cause: String) {
    guard let document = try? JSONDocument(parsing: explanation) else { return }
    let root = document.root
    for part in root["contributions"].map({ Array($0.elements) }) ?? [] {
      Output.line("  \(signed(part["points"]?.double ?? 0))  ", text(part["source"]))
    }
    for risk in root["risks"].map({ Array($0.elements) }) ?? [] {
      Output.line("  risk \(text(risk["risk"])): ", text(risk["evidence"]))
    }
    for (rank, candidate) in (root["candidates"].map { Array($0.elements) } ?? []).enumerated() {
      Output.line(
        "  \(rank + 1). ", "\(text(candidate["action"])) (\(text(candidate["trigger"]))): \(verdict(candidate))")
    }
    Output.line("  ", "\(cause), rules \(text(root["ruleVersion"]))")
  }

  /// Evidence and causes quote the events.
  private func text(_ value: JSONValue?) -> String { (value?.string ?? "").plain(400) }

  private func because(_ cause: JSONValue?) -> String {
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

  private func verdict(_ candidate: JSONValue) -> String {
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

  private func rule(_ name: String?) -> String {
    switch name.flatMap(ContactPolicy.Rule.init(rawValue:)) {
    case .limit: "the client has had as much on this channel as is allowed"
    case .gap: "the last one on this channel was too recent"
    case .pause: "the last one of its kind was too recent"
    case nil: "the contact policy forbids it"
    }
  }

  private func number(_ value: Double) -> String { value == value.rounded() ? "\(Int(value))" : "\(value)" }
  private func signed(_ value: Double) -> String { (value < 0 ? "" : "+") + number(value) }
}

extension ClientReport {
  fileprivate var json: JSONObject {
    [
      "clientId": id, "orgId": orgID, "name": name, "email": email, "stage": now?.stage, "nextChange": now?.nextChange,
      "now": now.map { now -> JSONObject in
        [
          "asOf": now.asOf, "score": now.score, "riskLevel": now.riskLevel, "isStored": now.isStored,
          "explanation": RawJSON(now.explanation),
        ]
      },
      "eventCount": eventCount,
      "scores": scores.map { score -> JSONObject in
        [
          "generatedAt": score.generatedAt, "score": score.score, "riskLevel": score.riskLevel,
          "explanation": score.explanation.map { RawJSON($0) },
        ]
      },
      "actions": actions,
      "events": events.map { event -> JSONObject in
        [
          "occurredAt": event.occurredAt, "type": event.type, "stage": event.stage, "setsStage": event.setsStage,
          "source": event.source, "id": event.sourceEventID,
        ]
      },
    ]
  }
}
