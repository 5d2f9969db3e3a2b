import AMQPClient
import ArgumentParser
import DeadLetters
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyConfiguration
import PostgresClient
import UnixSignals

/// `journey dlq replay`
struct DLQReplay: Command {
  static let configuration = CommandConfiguration(
    commandName: "replay",
    abstract:
      "Publish dead letters to the ingest queue again, as they were first published, each confirmed by the broker.",
    discussion: """
      A replay claims its dead letters first, then publishes them. If it is interrupted, by Ctrl-C too, --resume finishes it: \
      nothing is lost, and what is published twice has the same id and counts once. A dead letter that has failed the same way three \
      times in a row is skipped without --force; one that is larger than ingest.maximumBodyBytes is always skipped.
      Exit status: 0 if the broker has confirmed every dead letter, 69 if it took none for the time of --timeout, 1 otherwise.
      """,
    examples: [
      "journey dlq replay --code unknown_type --dry-run",
      "journey dlq replay --all --rate 500 --reason \"mapping added\"",
      "journey dlq replay --resume",
    ])

  @OptionGroup var selection: DeadLetterSelectionOptions

  @Flag(help: "All open dead letters.")
  var all = false

  @Flag(help: "Show what would be replayed and what the mapping would make of it. Changes nothing.")
  var dryRun = false

  @Option(
    help: ArgumentHelp("Dead letters per second at most. Default: as fast as the broker confirms.", valueName: "number")
  )
  var rate: Double?

  @Option(
    help: ArgumentHelp(
      "Edit the bodies with a JSON patch (RFC 6902: add, remove, replace, test), given here or in a file. The edited message gets a new id and names the dead letter that it was made from.",
      valueName: "patch"))
  var edit: String?

  @Flag(help: "Also dead letters that have failed the same way three times in a row or more.")
  var force = false

  @Option(help: "The reason, for the record.")
  var reason: String?

  @Flag(help: "Finish the replays that were interrupted.")
  var resume = false

  @Flag(help: "Reopen the dead letters that interrupted replays have claimed and not published.")
  var giveBack = false

  @OptionGroup var timeout: WaitOptions
  @Option(
    name: .customLong("wait"), help: ArgumentHelp("The former name of --timeout.", visibility: .hidden),
    transform: WaitOptions.seconds)
  var formerTimeout: Int?
  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    if let rate, !(rate > 0 && rate <= 1_000_000) {
      throw Failure(.refusedInput, "--rate \(rate): it must be more than 0 and at most 1000000")
    }
    let settings = try await common.settings()
    let patch = try edit.map(readPatch)
    if resume || giveBack {
      guard selection.isEmpty, !all, patch == nil, !dryRun, resume != giveBack else {
        throw Failure(
          .refusedInput,
          "--resume and --give-back take no selection of dead letters: the archive knows those of each replay")
      }
      return try await withArchive(settings) { worker in
        let service = try service(worker, settings)
        if giveBack { try await giveBack(service) } else { try await resume(service) }
      }
    }
    try selection.require(all: all)
    let request = ReplayRequest(
      filter: try selection.filter(), edit: patch, rate: rate, why: reason, isForced: force)
    try await withArchive(settings) { worker in
      let repository = DeadLetterRepository(worker: worker, actor: actor.name)
      try await request.filter.requireKnown(by: repository, settings)
      try await requireDeadLetters(
        request.filter.ids, in: request.filter.states, repository, advice: " (--state all selects it)")
      let maxBodyBytes = request.maxBodyBytes(settings.maxBodyBytes)
      try await requireFitting(request, maxBodyBytes, repository)
      let service = try service(worker, settings)
      if dryRun {
        try await rehearse(request, maxBodyBytes, service, repository, settings)
      } else {
        try await start(request, maxBodyBytes, service)
      }
    }
  }

  private var wait: WaitOptions {
    var wait = timeout
    if let formerTimeout { wait.seconds = formerTimeout }
    return wait
  }

  private func service(_ worker: PostgresWorker, _ settings: JourneyConfiguration.Settings) throws -> ReplayService {
    ReplayService(
      worker: worker, actor: actor.name, clock: SystemClock(),
      settings: try settings.replays(timeoutSeconds: wait.seconds), onWait: wait.say)
  }

  /// Refuses ids of dead letters that are too large to be replayed: whoever names an id means that dead letter.
  private func requireFitting(
    _ request: ReplayRequest, _ maxBodyBytes: Int, _ repository: DeadLetterRepository
  ) async throws {
    guard !request.filter.ids.isEmpty else { return }
    let deadLetters = try await repository.list(request.filter, limit: request.filter.ids.count, withBodies: false)
    for deadLetter in deadLetters {
      let message = deadLetter.deadLetter.message, size = message.bodySize.of("byte")
      if message.isCut {
        throw Failure(
          .failed,
          "dead letter \(deadLetter.id.text) cannot be replayed: only the beginning of its body of \(size) is archived "
            + "(deadLetters.maximumBodyBytes); nothing was done")
      }
      if message.bodySize > maxBodyBytes {
        throw Failure(
          .failed,
          "dead letter \(deadLetter.id.text) has a body of \(size) and cannot be replayed: \(tooLargeNote(maxBodyBytes)); "
            + "nothing was done. Export it (journey dlq export) or discard it (journey dlq discard)")
      }
    }
  }

  private func tooLargeNote(_ maxBodyBytes: Int) -> String {
    edit == nil ? "ingest.maximumBodyBytes is \(maxBodyBytes)" : "only \(maxBodyBytes.of("byte")) can be edited"
  }

  private func readPatch(_ text: String) throws -> JSONPatch {
    var bytes = Array(text.utf8)
    if text.first != "[" && text.first != "{" {
      guard let data = FileManager.default.contents(atPath: text) else {
        throw Failure(.refusedInput, "--edit \(text): neither a JSON patch nor a file")
      }
      bytes = Array(data)
    }
    do throws(JSONPatchError) { return try JSONPatch(parsing: bytes) } catch {
      throw Failure(.refusedInput, "--edit: \(error)")
    }
  }

  func skipped(_ count: ReplayCount, _ maxBodyBytes: Int) -> String {
    var notes: [String] = []
    if count.held > 0 {
      notes.append(
        "\(count.held.of("dead letter")) that failed the same way \(ReplayRequest.loopGuard) times in a row (--force replays them)"
      )
    }
    if count.tooLarge > 0 {
      notes.append("\(count.tooLarge.of("dead letter")) too large to be replayed (\(tooLargeNote(maxBodyBytes)))")
    }
    return notes.isEmpty ? "" : "; skipped: " + notes.joined(separator: ", ")
  }

  // MARK: Replay

  private func start(_ request: ReplayRequest, _ maxBodyBytes: Int, _ service: ReplayService) async throws {
    // A broker that is not reachable, or takes no messages, is reported before any dead letter is claimed.
    try await wait.untilPublishing { try await service.waitForBroker(seconds: wait.seconds) }
    let count = try await service.count(request)
    guard count.claimed > 0 else {
      return output.json
        ? printJSON([JSONObject]()) : Output.line("no dead letters to replay" + skipped(count, maxBodyBytes))
    }
    let replay = try await service.start(request)
    if !output.json {
      Output.line("replay \(replay.id): \(replay.claimed.of("dead letter"))" + skipped(count, maxBodyBytes))
    }
    try finish([(replay, count, try await run(replay, service))])
  }

  private func resume(_ service: ReplayService) async throws {
    let open = try await service.open()
    for replay in open where replay.isUnderWay {
      Output.error("replay \(replay.id) of \(replay.actor) is under way; it is not touched")
    }
    let interrupted = open.filter { !$0.isUnderWay }
    if interrupted.isEmpty {
      if !output.json { Output.line("no replay to resume") }
    } else {
      try await wait.untilPublishing { try await service.waitForBroker(seconds: wait.seconds) }
    }
    var results: [(ReplayService.Replay, ReplayCount?, DeadLetterReplay.Progress)] = []
    for replay in interrupted.map({ ReplayService.Replay(resuming: $0, rate: rate, why: reason) }) {
      if !output.json { Output.line("replay \(replay.id): \(replay.claimed.of("dead letter")) left") }
      let progress = try await run(replay, service)
      results.append((replay, nil, progress))
      if !progress.isComplete { break }
    }
    try finish(results)
  }

  /// Runs a replay with a progress bar. A signal interrupts it.
  /// - Throws: also when the broker took no messages for too long; the rest of the dead letters is open again then.
  private func run(_ replay: ReplayService.Replay, _ service: ReplayService) async throws
    -> DeadLetterReplay.Progress
  {
    // Before the first dead letter is published.
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
    let meter = ReplayMeter(total: replay.claimed)
    let run = Task { try await service.run(replay) { meter.show($0) } }
    let interruption = Task {
      for await _ in signals { run.cancel() }
    }
    let result = await run.result
    interruption.cancel()
    Output.endProgress()
    let outcome = try result.get()
    guard let reason = outcome.aborted else { return outcome.progress }
    let reopened = try await service.giveBack(replay.id, why: reason)
    throw Failure(
      .unavailable,
      "\(reason); gave up after \(wait.seconds) s: \(outcome.progress.confirmed.of("dead letter")) published and confirmed, \(reopened) open again"
    )
  }

  private func giveBack(_ service: ReplayService) async throws {
    var count = 0
    for replay in try await service.open() where !replay.isUnderWay {
      count += try await service.giveBack(replay.id, why: reason)
    }
    if output.json { return printJSON(["givenBack": count] as JSONObject) }
    Output.line("\(count.of("dead letter")) open again")
  }

  private func finish(
    _ results: [(replay: ReplayService.Replay, count: ReplayCount?, progress: DeadLetterReplay.Progress)]
  )
    throws
  {
    if output.json {
      printJSON(
        results.map { replay, count, progress -> JSONObject in
          [
            "replay": replay.id, "letters": replay.claimed, "heldByLoopGuard": count?.held ?? 0,
            "tooLarge": count?.tooLarge ?? 0,
            "confirmed": progress.confirmed, "failed": progress.failed, "left": replay.claimed - progress.done,
            "complete": progress.isComplete,
          ]
        })
    }
    for (replay, _, progress) in results {
      if !output.json {
        Output.line("\(progress.confirmed) of \(replay.claimed.of("dead letter")) published and confirmed")
      }
      let why = progress.lastFailure?.line(300)
      if progress.failed > 0 {
        throw Failure(
          .failed, "\(progress.failed.of("dead letter")) failed and open again, the last one because: \(why ?? "")")
      }
      if !progress.isComplete {
        throw Failure(
          .failed,
          "replay \(replay.id) has \((replay.claimed - progress.done).of("dead letter")) left; finish it: journey dlq replay --resume, or reopen them: --give-back"
            + (why.map { "; \($0)" } ?? ""))
      }
    }
  }
}
