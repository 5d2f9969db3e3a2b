import DeadLetters
import Journey
import JourneyConfiguration
import JourneyPostgres

/// What waits in the database: actions that are not published, dead letters, replays.
extension DiagnosticReport {
  /// From this age on, in seconds, an unpublished action is late.
  private static let late = 60

  mutating func outbox(_ found: StoreInspection) {
    let waiting = "\(found.backlog.unpublishedActions.of("action")) not yet published"
    let age = (found.backlog.oldestUnpublished ?? 0).ofTime
    if !found.stuckActions.isEmpty {
      let stuck = found.stuckActions.map { "\($0.count) because \($0.reason)" }.joined(separator: "; ")
      add(
        "outbox", .warning, .outboxFails, "\(waiting), of which failed: \(stuck)",
        "fix the causes; each action is retried within the hour, unless it has expired")
    } else if found.backlog.oldestUnpublished ?? 0 < Self.late {
      add("outbox", .ok, .ok, waiting)
    } else if found.backlog.instances == 0 {
      add(
        "outbox", .warning, .outboxAbandoned, "\(waiting), the oldest for \(age), and no instance runs",
        "run: \(Advice.serve)")
    } else {
      add(
        "outbox", .warning, .outboxLate,
        "\(waiting), the oldest for \(age), although \(found.backlog.instances.of("instance")) of journey serve run",
        "see the log of journey serve, or GET /ready: it says why the broker takes none")
    }
  }

  mutating func archive(_ settings: JourneyConfiguration.Settings) async {
    do {
      let (statistics, replays) = try await settings.withDatabase { worker in
        var new = DeadLetterFilter()
        new.states = [.new]
        return (
          try await DeadLetterRepository(worker: worker, actor: "").statistics(new),
          try await ReplayRepository(worker: worker, actor: "", clock: SystemClock()).open()
        )
      }
      let open = statistics.states[.new] ?? 0
      if open > 0 {
        let codes =
          statistics.codes.prefix(3).map { "\($0.count) \($0.name.line(40))" }
          + (statistics.codes.count > 3 ? ["others"] : [])
        let sources = statistics.sources.prefix(3).map { $0.name.line(40) }
        add(
          "archive", .warning, .deadLettersOpen,
          "\(open.of("dead letter")) open in the archive: \(codes.joined(separator: ", ")); most from \(sources.joined(separator: ", "))",
          "run: journey dlq stats")
      } else {
        add("archive", .ok, .ok, "no dead letters open")
      }
      let left = replays.filter { !$0.isUnderWay }.map(\.remaining).reduce(0, +)
      if left > 0 {
        add(
          "replays", .warning, .replaysInterrupted, "\(left.of("dead letter")) of replays that were interrupted",
          "run: journey dlq replay --resume")
      }
    } catch {
      add(
        "archive", .failure, .archiveUnreadable, "\(error)",
        "allow \(settings.databaseRole) to read journey_dead_letters, or run: \(Advice.migrate)")
    }
  }
}
