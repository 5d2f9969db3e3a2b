import DeadLetters
import AMQPClient
import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP
import JourneyPostgres
import PostgresClient

/// `journey dlq replay`
struct DLQReplay: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay",
    abstract: "Put letters into the ingest queue again, as they were first published, each confirmed by the broker.",
    discussion: """
      The letters are taken first, then published. Cut off at any point, by Ctrl-C too, a replay is finished by --resume: it \
      loses nothing, and what it publishes twice has the same id and counts once. A letter that has failed the same way three \
      times in a row is left alone without --force; one that is larger than ingest.maximumBodyBytes always is.
      Exit status: 0 where every letter is confirmed, 69 where the broker took none for --wait seconds, 1 otherwise.
      """)

  /// How often a letter may fail the same way in a row before it is left alone.
  static let loopGuard = 3

  /// The largest body that a replay publishes: a larger one would come back at once. An edit may make it smaller, where
  /// it can be edited.
  static func maxBodyBytes(_ settings: JourneyConfiguration.Settings, isEdited: Bool) -> Int {
    isEdited ? max(settings.maximumBodyBytes, JSONLimits().maximumBytes) : settings.maximumBodyBytes
  }

  @Argument(help: "The letters' ids; left out, the filter or --all says which.")
  var ids: [String] = []

  @OptionGroup var filter: DeadLetterFilterOptions

  @Flag(name: .long, help: "All open letters.")
  var all = false

  @Flag(name: .long, help: "Show what would be replayed and what the mapping would make of it. Changes nothing.")
  var dryRun = false

  @Option(
    name: .long,
    help: ArgumentHelp("The most letters a second; left out, as fast as the broker confirms.", valueName: "number"))
  var rate: Double?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Edit the bodies: a JSON patch (RFC 6902: add, remove, replace, test), or a file of one. The message gets a new id and names the letter it was made from.",
      valueName: "patch"))
  var edit: String?

  @Flag(name: .long, help: "Also letters that have failed the same way three times in a row or more.")
  var force = false

  @Option(name: .long, help: "Why, for the record.")
  var reason: String?

  @Flag(name: .long, help: "Finish the replays that were cut off.")
  var resume = false

  @Flag(name: .long, help: "Open the letters again that replays which were cut off have taken and not published.")
  var giveBack = false

  @OptionGroup var wait: WaitOptions
  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await withExitStatus {
      if let rate, !(rate > 0 && rate <= 1_000_000) {
        throw Failure(.refusedInput, "--rate \(rate): it is more than 0, at most 1000000")
      }
      let settings = try await common.settings()
      let patch = try edit.map(readPatch)
      if resume || giveBack {
        guard ids.isEmpty, filter.isEmpty, !all, patch == nil, !dryRun, resume != giveBack else {
          throw Failure(
            .refusedInput, "--resume and --give-back stand alone: what the replays were asked to do is in the archive")
        }
        return try await withArchive(settings) { worker in
          let replays = ReplayRepository(worker: worker, actor: actor.name, clock: SystemClock())
          if giveBack { try await giveBack(replays) } else { try await resume(replays, settings) }
        }
      }
      try requireChoice(ids, filter, all: all)
      let order = ReplayOrder(
        filter: try filter.filter(ids: ids), filterText: filter.json(ids: ids), edit: patch?.bytes, rate: rate,
        why: reason,
        loopGuard: force ? nil : Self.loopGuard, maxBodyBytes: Self.maxBodyBytes(settings, isEdited: patch != nil))
      try await withArchive(settings) { worker in
        let replays = ReplayRepository(worker: worker, actor: actor.name, clock: SystemClock())
        let repository = DeadLetterRepository(worker: worker, actor: actor.name)
        try await requireDeadLetters(
          order.filter.ids, in: order.filter.states, repository, advice: " (--state all takes it)")
        try await requireFitting(order, repository)
        if dryRun {
          try await rehearse(order, patch?.patch, replays, repository, settings)
        } else {
          try await start(order, patch?.patch, replays, settings)
        }
      }
    }
  }

  /// Refuses ids of letters that are too large to be replayed: whoever types an id means that letter.
  private func requireFitting(_ order: ReplayOrder, _ repository: DeadLetterRepository) async throws {
    guard !order.filter.ids.isEmpty else { return }
    let deadLetters = try await repository.list(order.filter, limit: order.filter.ids.count, withBodies: false)
    if let cut = deadLetters.first(where: { $0.deadLetter.message.isCut }) {
      throw Failure(
        .failed,
        "letter \(cut.id.text) cannot be replayed: of its body of \(cut.deadLetter.message.bodySize.of("byte")) only the beginning is archived "
          + "(deadLetters.maximumBodyBytes); nothing was done")
    }
    guard let large = deadLetters.first(where: { $0.deadLetter.message.bodySize > order.maxBodyBytes }) else { return }
    throw Failure(
      .failed,
      "letter \(large.id.text) has a body of \(large.deadLetter.message.bodySize.of("byte")) and cannot be replayed: \(tooLargeNote(order)); nothing was done. "
        + "Export it (journey dlq export) or discard it (journey dlq discard)")
  }

  private func tooLargeNote(_ order: ReplayOrder) -> String {
    edit == nil ? "ingest.maximumBodyBytes is \(order.maxBodyBytes)" : "\(order.maxBodyBytes.of("byte")) can be edited"
  }

  private func readPatch(_ text: String) throws -> (patch: JSONPatch, bytes: [UInt8]) {
    var bytes = Array(text.utf8)
    if text.first != "[" && text.first != "{" {
      guard let data = FileManager.default.contents(atPath: text) else {
        throw Failure(.refusedInput, "--edit \(text): neither a JSON patch nor a file")
      }
      bytes = Array(data)
    }
    do throws(JSONPatchError) {
      return (try JSONPatch(parsing: bytes), bytes)
    } catch {
      throw Failure(.refusedInput, "--edit: \(error)")
    }
  }

  // MARK: Looking

  private func rehearse(
    _ order: ReplayOrder, _ patch: JSONPatch?, _ replays: ReplayRepository, _ repository: DeadLetterRepository,
    _ settings: JourneyConfiguration.Settings
  ) async throws {
    let decoder = try await settings.decoder(try await settings.decisions())
    let count = try await replays.count(order)
    let deadLetters = try await repository.list(
      order.filter, limit: 20, withBodies: true, bodyBytes: order.maxBodyBytes
    )
    .filter {
      $0.sameFailures < order.loopGuard ?? .max && $0.deadLetter.message.bodySize <= order.maxBodyBytes
        && !$0.deadLetter.message.isCut
    }
    let lines = deadLetters.map { archived in
      var message = archived.deadLetter.message
      do {
        if let patch { message.body = try DeadLetterRepublisher.preview(archived, edit: patch) }
        let verdicts = try message.trace(with: decoder).elements.map { DLQShow.verdict($0.outcome) }
        return (archived.id, verdicts.joined(separator: "; "))
      } catch let rejection as Rejection {
        return (archived.id, "is rejected: [\(rejection.code.rawValue)] \(rejection)")
      } catch {
        return (archived.id, "\(error)")
      }
    }
    if output.json {
      printJSON { json in
        json.beginObject()
        json.key("dryRun")
        json.bool(true)
        json.key("letters")
        json.int(count.claimed)
        json.key("heldByLoopGuard")
        json.int(count.held)
        json.key("tooLarge")
        json.int(count.tooLarge)
        json.key("sample")
        json.beginArray()
        for (id, verdict) in lines {
          json.beginObject()
          json.member("id", id.text)
          json.member("verdict", verdict)
          json.endObject()
        }
        json.endArray()
        json.endObject()
      }
    } else {
      Output.line("would replay \(count.claimed.of("letter"))" + leftAlone(count, order))
      if !lines.isEmpty {
        Output.table(["letter", "by the mapping as it is now"], lines.map { [$0.text, $1.line(160)] })
      }
      if count.claimed > lines.count { Output.line("… and \(count.claimed - lines.count) more") }
    }
  }

  private func leftAlone(_ count: ReplayCount, _ order: ReplayOrder) -> String {
    var notes: [String] = []
    if count.held > 0 {
      notes.append(
        "\(count.held.of("letter")) that failed the same way \(Self.loopGuard) times in a row (--force takes them)")
    }
    if count.tooLarge > 0 {
      notes.append("\(count.tooLarge.of("letter")) too large to be replayed (\(tooLargeNote(order)))")
    }
    return notes.isEmpty ? "" : "; left alone: " + notes.joined(separator: ", ")
  }

  // MARK: Doing

  private func start(
    _ order: ReplayOrder, _ patch: JSONPatch?, _ replays: ReplayRepository, _ settings: JourneyConfiguration.Settings
  )
    async throws
  {
    // A broker that is not there, or takes nothing, is told before any letter is taken.
    try await withAdmin(settings) { try await wait.untilPublishing(to: settings.messagingNames.retry, $0) }
    let count = try await replays.count(order)
    guard count.claimed > 0 else {
      if output.json { return try report([]) }
      return Output.line("no letters to replay" + leftAlone(count, order))
    }
    let (id, taken) = try await replays.start(order)
    if !output.json { Output.line("replay \(id): \(taken.of("letter"))" + leftAlone(count, order)) }
    let run = ReplayRun(
      settings: settings, replays: replays, id: id, total: taken, rate: rate, patch: patch, why: reason, wait: wait)
    try report([(id, taken, count, try await run())])
  }

  private func resume(_ replays: ReplayRepository, _ settings: JourneyConfiguration.Settings) async throws {
    let open = try await replays.open()
    for replay in open where replay.isUnderWay {
      Output.error("replay \(replay.id) of \(replay.actor) is under way; it is left alone")
    }
    let left = open.filter { !$0.isUnderWay }
    if left.isEmpty, !output.json { Output.line("there is no replay to resume") }
    if !left.isEmpty {
      try await withAdmin(settings) { try await wait.untilPublishing(to: settings.messagingNames.retry, $0) }
    }
    var results: [(Int, Int, ReplayCount, DeadLetterReplay.Progress)] = []
    for replay in left {
      if !output.json { Output.line("replay \(replay.id): \(replay.remaining.of("letter")) left") }
      let patch = try replay.edit.map { bytes throws(JSONPatchError) in try JSONPatch(parsing: bytes) }
      let run = ReplayRun(
        settings: settings, replays: replays, id: replay.id, total: replay.remaining, rate: rate ?? replay.rate,
        patch: patch,
        why: reason ?? replay.why, wait: wait)
      let progress = try await run()
      results.append(
        (replay.id, replay.remaining, ReplayCount(claimed: replay.remaining, held: 0, tooLarge: 0), progress))
      if !progress.isComplete { break }
    }
    try report(results)
  }

  private func giveBack(_ replays: ReplayRepository) async throws {
    var count = 0
    for replay in try await replays.open() where !replay.isUnderWay {
      count += try await replays.giveBack(replay.id, why: reason)
    }
    if output.json {
      printJSON { json in
        json.beginObject()
        json.key("givenBack")
        json.int(count)
        json.endObject()
      }
    } else {
      Output.line("\(count.of("letter")) open again")
    }
  }

  private func report(_ results: [(id: Int, claimed: Int, count: ReplayCount, progress: DeadLetterReplay.Progress)])
    throws
  {
    if output.json {
      printJSON { json in
        json.beginArray()
        for result in results {
          json.beginObject()
          for (name, number) in [
            ("replay", result.id), ("letters", result.claimed), ("heldByLoopGuard", result.count.held),
            ("tooLarge", result.count.tooLarge), ("confirmed", result.progress.confirmed),
            ("failed", result.progress.failed),
            ("left", result.claimed - result.progress.done),
          ] {
            json.key(name)
            json.int(number)
          }
          json.key("complete")
          json.bool(result.progress.isComplete)
          json.endObject()
        }
        json.endArray()
      }
    }
    for result in results {
      let progress = result.progress
      if !output.json { Output.line("\(progress.confirmed) of \(result.claimed.of("letter")) published and confirmed") }
      if progress.failed > 0 {
        throw Failure(
          .failed,
          "\(progress.failed.of("letter")) not taken and open again, the last one since: \((progress.lastFailure ?? "").line(300))"
        )
      }
      if !progress.isComplete {
        throw Failure(
          .failed,
          "replay \(result.id) has \((result.claimed - progress.done).of("letter")) left; finish it: journey dlq replay --resume, or open them again: --give-back"
            + (progress.lastFailure.map { "; \($0.line(300))" } ?? ""))
      }
    }
  }
}
