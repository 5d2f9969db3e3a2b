import ArgumentParser
import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient

/// `journey explain CLIENT`
struct Explain: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Say how a client stands and why: stage, score and what it is made of, risks with their evidence, what was considered."
  )

  @Argument(help: "The client's id, e-mail, or the id by which a source knows it.")
  var client: String

  @Option(name: .long, help: "The organisation's id, where several know such a client.")
  var org: String?

  @Option(name: .long, help: "The most events, scores and actions to show, each.")
  var limit = 10

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await withExitStatus {
      let settings = try await common.settings()
      let orgID = try org.map { text in
        guard let id = UUID(uuidString: text) else {
          throw Failure(.refusedInput, "--org \(text): an organisation is named by its UUID")
        }
        return id
      }
      let rules = try await settings.decisions()
      let report = try await failing(.failed) {
        try await withDatabase(settings, role: settings.workingRole, "explain", plansByIndexes: true) {
          try await find(ClientReports(worker: $0, rules: rules), orgID)
        }
      }
      if output.json { printJSON { write(report, into: &$0) } } else { show(report) }
    }
  }

  private func find(_ reports: ClientReports, _ orgID: UUID?) async throws -> ClientReport {
    let found = try await reports.find(client, orgID: orgID)
    guard let first = found.first else {
      throw Failure(.failed, "no client \(client) is known; give its id, its e-mail or a source's id of it")
    }
    guard found.count == 1 else {
      let lines = found.map { "  \($0.id.text)  organisation \($0.orgID.text)  \(($0.name ?? "").plain(200))" }
      throw Failure(
        .refusedInput,
        "\(client) names \(found.count) clients; give one of these ids, or --org:\n" + lines.joined(separator: "\n"))
    }
    guard let report = try await reports.report(on: first.id, limit: max(1, min(limit, 1000))) else {
      throw Failure(.failed, "the client \(client) is gone")
    }
    return report
  }

  // MARK: For people

  private func show(_ report: ClientReport) {
    Output.line("\((report.name ?? "(no name)").plain(200))  \((report.email ?? "").plain(200))  \(report.id.text)")
    Output.line(
      "organisation \(report.orgID.text), \(report.eventCount) events, stage \((report.now?.stage ?? "none yet").plain())"
    )
    show(report.now, report.scores.first)
    if !report.actions.isEmpty {
      Output.line("\nactions")
      Output.table(
        ["decided", "action", "channel", "priority", "published", "reason"],
        report.actions.map {
          [$0.decidedAt.iso8601, $0.action, $0.channel, $0.priority, $0.publishedAt?.iso8601 ?? "not yet", $0.reason]
        }, indent: "  ")
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

  /// - Parameter latest: the latest score that is stored.
  private func show(_ now: ClientReport.Now?, _ latest: ClientReport.Score?) {
    if let due = now?.nextChange {
      Output.line("the risks change by themselves at \(due.iso8601) unless something happens before")
    }
    let cause = latest?.explanation.flatMap { try? JSONDocument(parsing: $0) }?.root["cause"]
    if let now {
      Output.line("\nscore \(number(now.score)), risk level \(now.riskLevel), as of \(now.asOf.iso8601)")
      show(
        now.explanation,
        now.isStored
          ? because(cause)
          : "not stored yet: time has passed, or the host or the rules have changed, since the last evaluation")
    }
    // A score that the host wrote after the last evaluation shows as well: the API answers with it.
    guard let latest, latest.explanation == nil || !(now?.isStored ?? false) else { return }
    Output.line(
      "\nstored: score \(number(latest.score)), risk level \(latest.riskLevel), at \(latest.generatedAt.iso8601)")
    if let explanation = latest.explanation { show(explanation, because(cause)) }
  }

  private func show(_ explanation: [UInt8], _ cause: String) {
    guard let document = try? JSONDocument(parsing: explanation) else { return }
    let root = document.root
    for part in root["contributions"].map({ Array($0.elements) }) ?? [] {
      Output.line("  \(signed(part["points"]?.double ?? 0))  \(text(part["source"]))")
    }
    for risk in root["risks"].map({ Array($0.elements) }) ?? [] {
      Output.line("  risk \(text(risk["risk"])): \(text(risk["evidence"]))")
    }
    for (rank, candidate) in (root["candidates"].map { Array($0.elements) } ?? []).enumerated() {
      Output.line(
        "  \(rank + 1). \(text(candidate["action"])) (\(text(candidate["trigger"]))): \(verdict(candidate))")
    }
    Output.line("  \(cause), rules \(text(root["ruleVersion"]))")
  }

  /// Evidence and causes quote what the events held.
  private func text(_ value: JSONValue?) -> String { (value?.string ?? "").plain(400) }

  private func because(_ cause: JSONValue?) -> String {
    guard let cause else { return "its cause is not known: the latest score is not the adapter's" }
    if cause["type"]?.string == "time_passed" { return "because time had passed, without an event" }
    if cause["type"]?.string == "history_changed" {
      return "because the stored events were changed, by the host or as two clients became one"
    }
    if cause["type"]?.string == "recomputed" {
      return "because journey recompute made the client anew, without an event"
    }
    return "because of \(text(cause["type"])) \(text(cause["id"])) from \(text(cause["source"]))"
  }

  private func verdict(_ candidate: JSONValue) -> String {
    switch candidate["verdict"]?.string {
    case "chosen": "chosen - \((candidate["reason"]?.string ?? "").plain(400))"
    case "outranked": "outranked by \((candidate["by"]?.string ?? "").plain(400))"
    case "cooling_down":
      "published already (\((candidate["openAction"]?.string ?? "").plain(400))), again from \((candidate["until"]?.string ?? "").plain(400))"
    case "withheld": "not published, as the client was only made anew"
    default: "unknown"
    }
  }

  private func number(_ value: Double) -> String { value == value.rounded() ? "\(Int(value))" : "\(value)" }
  private func signed(_ value: Double) -> String { (value < 0 ? "" : "+") + number(value) }

  // MARK: For machines

  private func write(_ report: ClientReport, into json: inout JSONWriter) {
    json.beginObject()
    json.member("clientId", report.id.text)
    json.member("orgId", report.orgID.text)
    json.member("name", report.name)
    json.member("email", report.email)
    json.member("stage", report.now?.stage)
    json.member("nextChange", report.now?.nextChange?.iso8601)
    if let now = report.now {
      json.key("now")
      json.beginObject()
      json.member("asOf", now.asOf.iso8601)
      json.key("score")
      json.double(now.score)
      json.member("riskLevel", now.riskLevel)
      json.key("isStored")
      json.bool(now.isStored)
      json.key("explanation")
      json.raw(now.explanation)
      json.endObject()
    }
    json.key("eventCount")
    json.int(report.eventCount)
    json.key("scores")
    json.beginArray()
    for score in report.scores {
      json.beginObject()
      json.member("generatedAt", score.generatedAt.iso8601)
      json.key("score")
      json.double(score.score)
      json.member("riskLevel", score.riskLevel)
      if let explanation = score.explanation {
        json.key("explanation")
        json.raw(explanation)
      }
      json.endObject()
    }
    json.endArray()
    json.key("actions")
    json.beginArray()
    for action in report.actions {
      json.beginObject()
      json.member("id", action.id.text)
      json.member("action", action.action)
      json.member("channel", action.channel)
      json.member("priority", action.priority)
      json.member("reason", action.reason)
      json.member("decidedAt", action.decidedAt.iso8601)
      json.member("publishedAt", action.publishedAt?.iso8601)
      json.member("state", action.state)
      json.endObject()
    }
    json.endArray()
    json.key("events")
    json.beginArray()
    for event in report.events {
      json.beginObject()
      json.member("occurredAt", event.occurredAt.iso8601)
      json.member("type", event.type)
      json.member("stage", event.stage)
      json.key("setsStage")
      json.bool(event.setsStage)
      json.member("source", event.source)
      json.member("id", event.sourceEventID)
      json.endObject()
    }
    json.endArray()
    json.endObject()
  }
}
