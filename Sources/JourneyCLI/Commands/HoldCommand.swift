import ArgumentParser
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyConfiguration
import JourneyPostgres

/// `journey hold …`
struct HoldCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hold", abstract: "Hold actions: none that matches is published, also none that is decided already.",
    subcommands: [HoldAdd.self, HoldList.self, HoldRelease.self])
}

/// `journey hold add`
struct HoldAdd: Command {
  static let configuration = CommandConfiguration(
    commandName: "add", abstract: "Hold the actions of a channel, an organisation or a kind.",
    discussion: """
      It returns when every live instance has confirmed, or its lease of 5 s has run out. From then on nothing that matches is published; events are \
      taken and stored as ever. What is held is decided again after the hold. What workers have received already is theirs: they ask with GET \
      /api/journey/actions/{id} just before they act. \
      Exit status: 0 all have confirmed; 1 a live instance has not within 40 s, or one of a version before 0.8 runs, which knows no holds; 65 the \
      channel, action or organisation is not known, or none is named; 69 the database is not available.
      """,
    examples: [
      "journey hold add --channel email --reason \"the template is broken\"",
      "journey hold add --org ORG --action offer_credit_pack --until 2h --reason \"prices change\"",
      "journey hold add --channel voice --reason \"a test\" --dry-run",
    ])

  @Option(help: "Only this channel, e.g. email.")
  var channel: String?
  @Option(help: ArgumentHelp("Only actions for clients of this organisation.", valueName: "id"))
  var org: String?
  @Option(
    help: "Only this action, e.g. email_outreach.", completion: .list(ActionKind.allCases.map(\.rawValue)))
  var action: String?
  @Option(
    help: ArgumentHelp(
      "When it ends by itself: 2026-11-20T10:00:00Z, or 90m, 2h, 3d from now. Default: when it is released.",
      valueName: "time"))
  var until: String?
  @OptionGroup var reason: ReasonOption
  @Flag(help: "Show how many unpublished actions it would hold; hold nothing.")
  var dryRun = false
  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  private static let timeout = Duration.seconds(40)

  func execute() async throws {
    let settings = try await common.settings(), why = try reason.text()
    let hold = try await hold(settings), end = try end()
    try await settings.withDatabase { worker in
      let repository = HoldRepository(worker: worker)
      if let org = hold.orgID, try await !repository.isOrganization(org) {
        throw Failure(
          .refusedInput, "--org \(org.text): there is no such organisation", advice: "run: journey org list")
      }
      guard !dryRun else { return show(try await repository.preview(hold)) }
      let added = try await repository.add(hold, until: end, actor: actor.name, why: why)
      let instances = try await repository.carriedOut(added.hold.id, within: Self.timeout)
      // The session of one that is cut off may live on.
      let others = try await InstanceRepository(worker: worker).withoutLease { _ in true }
      try show(added, instances, others)
    }
  }

  private func hold(_ settings: JourneyConfiguration.Settings) async throws -> Hold {
    guard channel != nil || org != nil || action != nil else {
      throw Failure(.refusedInput, "a hold names a --channel, an --org or an --action, or several of them")
    }
    let orgID = try org.map { try Input.id($0, "--org", of: "an organisation") }
    if let channel {
      let known = settings.channels(try await settings.decisions())
      guard known.contains(channel) else {
        throw Failure(
          .refusedInput, "--channel \(channel): there is no such channel\(suggestion(for: channel, among: known))",
          advice: "there are: \(known.joined(separator: ", "))")
      }
    }
    let kind = try action.map { action in
      let known = ActionKind.allCases.map(\.rawValue)
      guard let kind = ActionKind(rawValue: action) else {
        throw Failure(
          .refusedInput, "--action \(action): there is no such action\(suggestion(for: action, among: known))",
          advice: "there are: \(known.joined(separator: ", "))")
      }
      return kind
    }
    return Hold(id: 0, channel: channel.map(Channel.init), action: kind, orgID: orgID)
  }

  private func end() throws -> Timestamp? {
    guard let until else { return nil }
    let now = SystemClock().now(), time = try Input.time(ahead: until, "--until", at: now)
    guard time > now else {
      throw Failure(.refusedInput, "--until \(until): \(time.local(at: now)) has passed")
    }
    return time
  }

  private func show(_ found: (actions: Int, clients: Int)) {
    if output.json {
      return printJSON(["dryRun": true, "actions": found.actions, "clients": found.clients] as JSONObject)
    }
    Output.line(
      "it would hold \(found.actions.of("unpublished action")) of \(found.clients.of("client")), and all that follow; nothing was changed"
    )
  }

  private func show(_ added: ListedHold, _ instances: [ListedInstance], _ others: Int) throws {
    let id = added.hold.id, late = instances.filter { $0.isLive && !$0.holds.contains(id) }
    if output.json {
      printJSON(added.json(by: instances, withoutLease: others))
    } else {
      Output.line("hold \(id): \(added.hold.inWords)")
      if instances.isEmpty, others == 0 { Output.line("no instance runs; those that start will hold them") }
      for instance in instances { Output.line("\(instance.instance.plain()): \(instance.answer(to: id))") }
    }
    guard late.isEmpty else {
      throw Failure(
        .failed,
        "not confirmed within \(Self.timeout.components.seconds) s: \(late.map { $0.instance.plain() }.joined(separator: ", "))",
        advice:
          "the hold stands; an instance confirms once the broker has answered for what was under way, one of a version before 0.8 never"
      )
    }
    guard others == 0 else {
      throw Failure(
        .failed, "\(others.of("instance")) of an earlier version knows no holds: stop \(others == 1 ? "it" : "them")",
        advice: "a journey recompute that runs counts as one, too")
    }
  }
}

extension ListedInstance {
  fileprivate func answer(to hold: Int64) -> String {
    isLive ? holds.contains(hold) ? "confirmed" : "late" : "silent"
  }
}

/// `journey hold list`
struct HoldList: Command {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the open holds and those whose actions are still to be decided again.",
    examples: ["journey hold list", "journey hold list --all --json"])

  @Flag(help: "Also those that have ended.")
  var all = false
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let all = all
    let found = try await common.settings().withDatabase { try await HoldRepository(worker: $0).list(all: all) }
    guard !output.json else { return printJSON(found.map(\.json)) }
    guard !found.isEmpty else { return Output.line(all ? "no holds" : "no open holds") }
    let now = SystemClock().now()
    Output.table(
      ["id", "state", "holds", "actions", "since", "until", "by", "reason"],
      found.map {
        [
          "\($0.hold.id)", $0.state, $0.hold.inWords, "\($0.actions)", $0.at.local(at: now),
          $0.until.map { $0.local(at: now) } ?? "", $0.actor.line(40), $0.why.line(80),
        ]
      })
  }
}

/// `journey hold release`
struct HoldRelease: Command {
  static let configuration = CommandConfiguration(
    commandName: "release", abstract: "End a hold: its actions are decided again.",
    discussion: """
      No held action is published as it was decided: each client is decided again, at --rate clients a second over all instances. New actions are \
      published at once. Exit status: 0 it has ended; 65 there is no such open hold.
      """,
    examples: [
      "journey hold release 3 --dry-run", "journey hold release 3", "journey hold release 3 --rate 20",
    ])

  @Argument(help: "The hold, as journey hold list shows it.")
  var id: Int64
  @Option(help: "Clients a second: 0.1 to 1,000. Default: 100.")
  var rate: Double?
  @Option(help: "The reason, for the record.")
  var reason: String?
  @Flag(help: "Show how many actions would be decided again; change nothing.")
  var dryRun = false
  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    if let rate, !Hold.rates.contains(rate) {
      throw Failure(.refusedInput, "--rate \(rate): expected 0.1 to 1,000 clients a second")
    }
    try await common.settings().withDatabase { worker in
      let repository = HoldRepository(worker: worker)
      guard let before = try await repository.hold(id), before.isOpen else {
        throw Failure(.refusedInput, "there is no open hold \(id)", advice: "see: journey hold list")
      }
      let clients = try await repository.clients(of: id)
      let released =
        dryRun ? before : try await repository.release(id, rate: rate, actor: actor.name, why: reason) ?? before
      if output.json {
        return printJSON(["dryRun": dryRun, "clients": clients, "hold": released.json] as JSONObject)
      }
      let what = "\(before.actions.of("action")) of \(clients.of("client"))"
      Output.line(
        dryRun
          ? "\(what) would be decided again; nothing was changed" : "hold \(id) has ended; \(what) are decided again")
    }
  }
}

extension ListedHold {
  var state: String { isOpen ? "open" : actions > 0 ? "deciding again" : "ended" }

  var json: JSONObject {
    [
      "id": Int(hold.id), "state": state, "channel": hold.channel?.rawValue, "action": hold.action?.rawValue,
      "orgId": hold.orgID, "at": at, "until": until, "by": actor, "reason": why, "endedAt": endedAt,
      "releasedBy": releasedBy, "rate": rate, "actions": actions,
    ]
  }

  /// With the answers of the instances, and whether all that live have confirmed.
  /// - Parameter withoutLease: how many processes of versions that know no holds are alive.
  func json(by instances: [ListedInstance], withoutLease: Int) -> JSONObject {
    [
      "hold": json,
      "confirmed": withoutLease == 0 && instances.allSatisfy { !$0.isLive || $0.holds.contains(hold.id) },
      "instances": instances.map { instance -> JSONObject in
        ["id": instance.instance, "answer": instance.answer(to: hold.id)]
      }, "withoutLease": withoutLease,
    ]
  }

  /// `3: email held by ada since 2026-11-30 03:12:00 +0100 (2 h ago): the template is broken`
  func inWords(at now: Timestamp) -> String {
    "\(hold.id): \(hold.inWords), \(actions.of("action")), held by \(actor.plain(80)) since \(at.local(at: now))"
      + (until.map { " until \($0.local(at: now))" } ?? "") + ": \(why.plain(200))"
  }
}

extension Hold {
  /// `email_outreach by email for clients of ORG`
  var inWords: String {
    (action?.rawValue ?? "all actions") + (channel.map { " by \($0.rawValue.plain(40))" } ?? "")
      + (orgID.map { " for clients of \($0.text)" } ?? "")
  }
}

extension JourneyConfiguration.Settings {
  /// The channels that have a queue, or that the decision rules name.
  func channels(_ rules: DecisionRules) -> [String] {
    Set(messagingNames.channels + ActionKind.allCases.map { rules.actions.channel(of: $0).rawValue }).sorted()
  }
}
