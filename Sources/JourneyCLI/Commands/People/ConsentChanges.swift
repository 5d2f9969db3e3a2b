import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyPostgres

/// What the commands that record a change have in common.
struct ConsentOptions: ParsableArguments {
  private static let channels = [Channel.email, .voice, .human].map(\.rawValue)
  private static let maxText = 500

  @OptionGroup var client: ClientArgument

  @Option(
    help: "The channel: \(Self.channels.joined(separator: ", ")).", completion: .list(Self.channels))
  var channel: String

  @Option(help: "By which way the client said so: a form, a call, an e-mail.")
  var source: String

  @Option(help: "Why, for the record.")
  var reason: String?

  @Option(
    help: ArgumentHelp(
      "When the client said so: 2026-11-20T10:00:00Z, or how long ago: 90m, 2h, 3d. Default: now.", valueName: "time"))
  var at: String?

  @Flag(help: "Check it; record nothing.")
  var dryRun = false

  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func record(_ change: ConsentRecord.Change, purpose: String? = nil, until: String? = nil) async throws {
    let now = SystemClock().now()
    guard Self.channels.contains(channel) else {
      throw Failure(
        .refusedInput,
        "--channel \(channel.plain(60)): there is no such channel\(suggestion(for: channel, among: Self.channels))",
        advice: "there are: \(Self.channels.joined(separator: ", "))")
    }
    if let purpose, !ConsentRecord.isPurpose(purpose) {
      throw Failure(
        .refusedInput, "--purpose \(purpose.plain(60)): expected 1 to 40 of a-z, 0-9, _, - and .")
    }
    guard !source.allSatisfy(\.isWhitespace) else {
      throw Failure(.refusedInput, "--source is empty: say by which way the client said so")
    }
    let said = try at.map { try DeadLetterFilterOptions.time($0, "--at") }
    if let said, said > now { throw Failure(.refusedInput, "--at \(at ?? ""): lies in the future") }
    let expiry = try until.map { try Input.time(ahead: $0, "--until", at: now) }
    if let expiry, expiry <= now { throw Failure(.refusedInput, "--until \(until ?? ""): has passed") }
    var random = SystemRandomNumberGenerator()
    let record = ConsentRecord(
      id: UUID.v7(at: now, using: &random), change: change, channel: Channel(rawValue: channel), purpose: purpose,
      at: said ?? now, expiresAt: expiry)
    let settings = try await common.settings(), rules = try await settings.decisions()
    let (clientID, result) = try await settings.withDatabase { worker in
      let clientID = try await client.find(worker, rules)
      let result = try await ConsentRepository(worker: worker).record(
        record, of: clientID, source: source.shortened(to: Self.maxText),
        reason: reason?.shortened(to: Self.maxText), actor: actor.name, at: said, rules: rules.actions, dryRun: dryRun)
      return (clientID, result)
    }
    try tell(result, record, clientID)
  }

  private func tell(_ result: ConsentRepository.Result, _ record: ConsentRecord, _ client: UUID) throws {
    let status: String, text: String
    switch result {
    case .unknown: throw Failure(.failed, "the client no longer exists")
    case .merging: throw Failure(.failed, "the client is being merged with another one; try again")
    case .tooMany:
      throw Failure(
        .refusedInput,
        "consent to \(ActionHistory.maxConsents) purposes is recorded of this client already; use one of those")
    case .known where dryRun, .recorded where dryRun: (status, text) = ("checked", "it can be recorded; nothing was")
    case .known:
      (status, text) = ("known", "recorded; nothing changes: it was so before, or a later record says otherwise")
    case .recorded: (status, text) = ("recorded", "recorded; see journey consent show \(client.text)")
    }
    guard output.json else { return Output.line(text) }
    printJSON(
      [
        "clientId": client, "record": status == "checked" ? nil : record.id, "change": record.change.rawValue,
        "channel": record.channel.rawValue, "purpose": record.purpose, "status": status, "dryRun": dryRun,
      ] as JSONObject)
  }
}

/// `journey consent grant`
struct ConsentGrant: Command {
  static let configuration = CommandConfiguration(
    commandName: "grant", abstract: "Record that a client has consented to a purpose on a channel.",
    discussion: "It does not lift do-not-contact: journey consent unblock does. \(Consent.status)",
    examples: [
      "journey consent grant ann@example.com --channel email --purpose marketing --source \"web form\" --until 730d"
    ])

  @OptionGroup var change: ConsentOptions
  @Option(help: Consent.purposeHelp)
  var purpose: String
  @Option(
    help: ArgumentHelp(
      "Until when it holds: 2026-11-20T10:00:00Z, 2026-11-20, or in how long: 90m, 2h, 730d. Default: for good.",
      valueName: "time"))
  var until: String?

  func execute() async throws { try await change.record(.granted, purpose: purpose, until: until) }
}

/// `journey consent withdraw`
struct ConsentWithdraw: Command {
  static let configuration = CommandConfiguration(
    commandName: "withdraw", abstract: "Record that a client no longer consents to a purpose on a channel.",
    discussion: Consent.status,
    examples: ["journey consent withdraw CLIENT --channel email --purpose marketing --source call"])

  @OptionGroup var change: ConsentOptions
  @Option(help: Consent.purposeHelp)
  var purpose: String

  func execute() async throws { try await change.record(.withdrawn, purpose: purpose) }
}

/// `journey consent block`
struct ConsentBlock: Command {
  static let configuration = CommandConfiguration(
    commandName: "block", abstract: "Record that a client must not be contacted on a channel.",
    discussion: "Only actions of a mandatory class are still sent. \(Consent.status)",
    examples: ["journey consent block CLIENT --channel voice --source call --reason \"wants no calls\""])

  @OptionGroup var change: ConsentOptions

  func execute() async throws { try await change.record(.blocked) }
}

/// `journey consent unblock`
struct ConsentUnblock: Command {
  static let configuration = CommandConfiguration(
    commandName: "unblock", abstract: "Record that a client wants to be contacted on a channel again.",
    discussion: """
      It lifts what a person has recorded and what the client has unsubscribed from, until it says so again. That messages bounce, \
      journey consent reachable lifts. \(Consent.status)
      """,
    examples: ["journey consent unblock CLIENT --channel email --source \"web form\""])

  @OptionGroup var change: ConsentOptions

  func execute() async throws { try await change.record(.unblocked) }
}

/// `journey consent reachable`
struct ConsentReachable: Command {
  static let configuration = CommandConfiguration(
    commandName: "reachable",
    abstract: "Record that messages reach a client on a channel again, after some had bounced.",
    discussion: "It does not lift what the client or a person has asked for. \(Consent.status)",
    examples: ["journey consent reachable CLIENT --channel email --source call --reason \"new address\""])

  @OptionGroup var change: ConsentOptions

  func execute() async throws { try await change.record(.reachable) }
}
