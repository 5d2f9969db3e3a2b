import AMQPClient
import ArgumentParser
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyConfiguration
import JourneyPostgres
import PostgresClient

/// `journey trace ID`
struct Trace: Command {
  static let configuration = CommandConfiguration(
    abstract: "Where is it? What became of an event, a message, an action or a client's events, step by step.",
    discussion: """
      An id that is not found may wait in the ingest queue: a queue cannot be looked into, so it says how many messages wait there. Exit status: 0 \
      found; 1 not found; 69 the database is not available.
      """,
    examples: [
      "journey trace evt_1Pq9                  an event, by the vendor's id",
      "journey trace ada@example.com           the newest events of a client",
      "journey trace 0193a6f2-… --org 0193a6f0-… --json",
    ])

  @Argument(
    help:
      "The id of an event (the vendor's or the row's), of a message or an action; a client's id, e-mail or id at a source."
  )
  var id: String

  @Option(help: "Only what is of this organisation, by its id.")
  var org: String?

  @Option(
    help: ArgumentHelp(
      "How far back dead letters and messages that are kept as they came are searched: 2026-11-20T10:00:00Z, 2026-11-20, or how long ago: 90m, 2h, 3d. "
        + "Default: 30 days, and kept messages for at most 20 seconds.", valueName: "time"))
  var since: String?

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings()
    let orgID = try org.map { try Input.id($0, "--org", of: "an organisation") }
    let from = try DeadLetterFilterOptions.time(since ?? "30d", "--since")
    guard !id.isEmpty else { throw Failure(.refusedInput, "the id is empty") }
    let searched = SearchedID(id.replacing("\0", with: "\u{fffd}"))
    let decoder = try await settings.decoder(try await settings.decisions())
    let found = try await failing(.failed) {
      try await settings.withDatabase { worker in
        try await TraceSearch(
          id: searched, orgID: orgID, since: from, timeout: since == nil ? .seconds(20) : nil, decoder: decoder,
          worker: worker
        ).run()
      }
    }
    let queues = await settings.waitingMessages(tiers: Set(found.parked.map(\.tier)))
    let answers = answers(found, queues, at: SystemClock().now())
    if output.json {
      printJSON(
        [
          "id": id, "found": answers.map(\.json), "notes": found.notes, "searchedSince": from,
          "ingestQueue": ["name": queues.ingest, "messages": queues.waiting, "failure": queues.failure] as JSONObject,
        ] as JSONObject)
    } else {
      show(answers, found.notes)
    }
    guard answers.isEmpty else { return }
    throw Failure(.failed, notFound(queues, from))
  }

  private func answers(_ found: TraceFindings, _ queues: WaitingMessages, at now: Timestamp) -> [TraceAnswer] {
    var answers = found.clients.map { client in
      TraceAnswer(
        client: client.id, orgID: client.orgID, name: client.name,
        events: found.events.count { $0.clientID == client.id })
    }
    answers += found.parked.map { TraceAnswer($0, queues, at: now) }
    answers += found.deadLetters.map { TraceAnswer($0) }
    answers += found.passedBy.map { TraceAnswer($0) }
    answers += found.kept.map { TraceAnswer($0) }
    answers += found.evaluations.map { TraceAnswer($0, queues, at: now) }
    answers += found.events.map { TraceAnswer($0, parkedBefore: found.parkedBefore[$0.id], queues, at: now) }
    return answers
  }

  private func show(_ answers: [TraceAnswer], _ notes: [String]) {
    let now = SystemClock().now()
    for (number, answer) in answers.enumerated() {
      if number > 0 { Output.line() }
      Output.line(answer.title.line(400))
      let times = answer.steps.map { $0.at?.local(at: now) ?? "" }
      let width = times.map(\.count).max() ?? 0
      for (step, time) in zip(answer.steps, times) {
        Output.line("  \(time)\(String(repeating: " ", count: width - time.count))  \(step.text.line(600))")
      }
      Output.line("  now: \(answer.now.line(600))")
    }
    for note in notes { Output.error("note: \(note.line(400))") }
  }

  private func notFound(_ queues: WaitingMessages, _ from: Timestamp) -> String {
    let whose = org == nil ? "" : " of this organisation"
    let rest =
      queues.waiting == 0
      ? "No message waits in \(queues.ingest): it has not come, is being processed, or was passed by and not kept"
      : "It may not have been received yet: \(queues.text)"
    return
      "\(id.line(200)) is not found\(whose) among events, actions, evaluations, clients, messages in retry queues, and, "
      + "since \(from.local), dead letters and messages kept as they came. \(rest)"
  }
}

extension Settings {
  /// How many messages wait in the ingest queue and in retry queues. A broker that is away is no failure.
  func waitingMessages(tiers: Set<String> = []) async -> WaitingMessages {
    let names = messagingNames
    var queues = WaitingMessages(ingest: names.ingest, outcomes: names.outcomes)
    do {
      try await withAdmin { admin in
        queues.waiting = try await admin.messageCount(queue: names.ingest)
        for tier in tiers { queues.retries[tier] = try await admin.messageCount(queue: names.retryQueue(tier)) }
      }
    } catch {
      queues.failure = (error as? AMQPError).map { Failure($0).message } ?? "\(error)"
    }
    return queues
  }
}
