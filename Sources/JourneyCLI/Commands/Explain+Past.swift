import Journey
import JourneyPostgres

/// What `journey explain` shows of a client now and at an earlier time alike, and of the latter alone.
extension Explain {
  func show(_ past: PastReport) {
    showName(of: past.client)
    Output.line(
      "",
      "organisation \(past.client.orgID.text), as of \(past.at.iso8601): \(past.client.eventCount.of("event"))"
    )
    if let decision = past.decision, let explanation = decision.explanation {
      let root = (try? JSONDocument(parsing: explanation))?.root
      Output.line(
        "",
        "\nscore \(Self.number(decision.score)), risk level \(decision.riskLevel), stage \((root?["stage"]?.string ?? "unknown").plain(40)), decided at \(decision.generatedAt.iso8601)"
      )
      show(explanation, because(root?["cause"]))
    } else {
      let oldest = past.oldestDecisionAt.map { "the oldest that is stored is of \($0.iso8601)" } ?? "none is stored"
      Output.line("", "\nno decision is that old: \(oldest)")
    }
    if let score = past.client.scores.first, score.explanation == nil {
      Output.line(
        "",
        "\nthe host's own score: \(Self.number(score.score)), risk level \(score.riskLevel), at \(score.generatedAt.iso8601)"
      )
    }
    showLists(of: past.client)
  }

  func showName(of report: ClientReport) {
    Output.line("\((report.name ?? "(no name)").plain(200))  \((report.email ?? "").plain(200))  \(report.id.text)")
  }

  /// The actions and the events.
  func showLists(of report: ClientReport) {
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
}

extension WhatIf {
  /// What would have to change, for people.
  func show() {
    guard let from = (winner + level).first?.from else { return }
    Output.line("\nwhat would have to change")
    list(winner, "for another action than \(from.winner?.rawValue ?? "none")") { $0.winner?.rawValue ?? "no action" }
    list(level, "for another risk level than \(from.level.rawValue)") { $0.level.rawValue }
  }

  private func list(_ changes: [Change], _ heading: String, _ result: (Outcome) -> String) {
    guard !changes.isEmpty else { return }
    Output.line("  ", heading)
    for change in changes {
      Output.line("    ", "\(change.facts.map(\.description).joined(separator: ", and ")): \(result(change.to))")
    }
  }
}
