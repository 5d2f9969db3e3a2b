import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyPostgres

/// `journey identity group …`
struct IdentityGroup: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "group",
    abstract: "Manage groups: the companies, accounts, households and mailboxes that clients belong to.",
    subcommands: [IdentityGroupList.self, IdentityGroupShow.self, IdentityGroupOwner.self, IdentityGroupDiscard.self])
}

extension IdentityOptions {
  func performOnGroups<Value: Sendable>(
    _ body: @Sendable (GroupRepository, UUID) async throws -> Value
  ) async throws -> Value {
    let settings = try await common.settings()
    let orgID = try Input.id(org, "--org", of: "an organisation")
    return try await settings.withDatabase {
      try await body(GroupRepository(worker: $0, actor: actor.name), orgID)
    }
  }
}

/// `journey identity group list`
struct IdentityGroupList: Command {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "List the groups of an organisation, with their owners and the events kept for them.",
    examples: [
      "journey identity group list --org ORG",
      "journey identity group list --org ORG --source hubspot --kept",
    ])

  @Option(help: "Only groups of this source.", completion: .sources)
  var source: String?
  @Flag(help: "Only groups for which events are kept.")
  var kept = false
  @Option(help: "How many to show at most.")
  var limit = 100
  @OptionGroup var options: IdentityOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let (source, kept, limit) = (source, kept, max(1, min(limit, 100_000)))
    let found = try await options.performOnGroups { repository, org in
      try await repository.list(orgID: org, source: source, onlyKept: kept, limit: limit)
    }
    if found.isEmpty { try await options.common.settings().requireSource(source) { _ in false } }
    if output.json { return printJSON(found) }
    guard !found.isEmpty else { return Output.line("no groups") }
    Output.table(
      ["source", "group", "members", "owner", "name", "kept", "since"],
      found.map {
        [
          $0.source, $0.groupID, "\($0.members)", $0.ownerID?.text ?? "", $0.ownerName ?? "", "\($0.kept)",
          $0.createdAt.toTheSecond,
        ].map { $0.line(80) }
      })
  }
}

/// `journey identity group show SOURCE GROUP`
struct IdentityGroupShow: Command {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show the owner and the members of a group, and the events kept for it.",
    examples: [
      "journey identity group show hubspot company:7 --org ORG",
      "journey identity group show hubspot company:7 --org ORG --json",
    ])

  @Argument(help: "The source, e.g. hubspot.", completion: .sources)
  var source: String
  @Argument(help: "The id of the group at the source.")
  var group: String
  @Option(help: "How many members and events to show at most.")
  var limit = 100
  @OptionGroup var options: IdentityOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let (source, group, limit) = (source, group, max(1, min(limit, 100_000)))
    let (found, members, kept) = try await options.performOnGroups { repository, org in
      let key = GroupKey(orgID: org, source: source, groupID: group)
      let found = try await repository.list(orgID: org, source: source, group: group, onlyKept: false, limit: 1)
      return (
        found.first, try await repository.members(of: key, limit: limit),
        try await repository.kept(of: key, limit: limit)
      )
    }
    guard let found else { throw Failure(.refusedInput, Self.unknown(source, group, options.org)) }
    if output.json {
      let answer: JSONObject = [
        "source": source, "group": group, "ownerId": found.ownerID, "ownerName": found.ownerName,
        "memberCount": found.members, "keptCount": found.kept, "members": members, "kept": kept,
      ]
      return printJSON(answer)
    }
    Output.line("group    \(source.plain()) \(group.plain())")
    Output.line("owner    \(found.ownerID.map { "\($0.text) \((found.ownerName ?? "").plain())" } ?? "(none)")")
    Output.line("members  \(found.members)")
    Output.table(
      ["client", "part of", "name", "email", "since"],
      members.map {
        [
          $0.clientID.text, $0.mergedInto?.text ?? "", $0.name ?? "", $0.email ?? "", $0.since.toTheSecond,
        ].map { $0.line(80) }
      }, indent: "  ")
    Output.line("kept     \(found.kept.of("event"))")
    guard !kept.isEmpty else { return }
    Output.table(
      ["event", "type", "stage", "at", "kept since", "refused at"],
      kept.map {
        [
          $0.id, $0.type, $0.stage ?? "", $0.occurredAt.toTheSecond, $0.keptAt.toTheSecond,
          $0.failedAt?.toTheSecond ?? "",
        ].map { $0.line(80) }
      },
      indent: "  ")
  }

  static func unknown(_ source: String, _ group: String, _ org: String) -> String {
    "the organisation \(org) has no group \(group) of \(source); journey identity group list shows those that it has"
  }
}

/// `journey identity group owner SOURCE GROUP CLIENT`
struct IdentityGroupOwner: Command {
  static let configuration = CommandConfiguration(
    commandName: "owner", abstract: "Set or clear the owner of a group, who gets the events that name only the group.",
    discussion: """
      The events that are kept for the group become the owner's, as if they had come in time. Events that somebody has got already stay with \
      them. Exit status: 0 if the owner is as asked for, 65 if there is no such client or group.
      """,
    examples: [
      "journey identity group owner hubspot company:7 ann@example.com --org ORG --reason \"she signs\"",
      "journey identity group owner hubspot company:7 --clear --org ORG --reason \"left\" --dry-run",
    ])

  @Argument(help: "The source, e.g. hubspot.", completion: .sources)
  var source: String
  @Argument(help: "The id of the group at the source.")
  var group: String
  @Argument(help: "The client's id or e-mail address.")
  var client: String?
  @Flag(help: "Clear the owner.")
  var clear = false
  @OptionGroup var reason: ReasonOption
  @Flag(help: "Show what would happen; change nothing.")
  var dryRun = false
  @OptionGroup var options: IdentityOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard (client == nil) == clear else { throw ValidationError("give either CLIENT or --clear") }
  }

  func execute() async throws {
    let (source, group, client, isRehearsal, why) = (source, group, client, dryRun, try reason.text())
    let (key, outcome) = try await options.performOnGroups { repository, org in
      let key = GroupKey(orgID: org, source: source, groupID: group)
      return (key, try await repository.setOwner(of: key, to: client, why: why, isRehearsal: isRehearsal))
    }
    let (before, after, kept) = try owners(outcome)
    let settings = try await options.common.settings()
    var delivery = GroupDelivery()
    if !dryRun, kept > 0, settings.groupEvents == .owner {
      delivery = try await withEventStore(settings) { try await $0.deliverGroupEvents(of: key) }
      // An instance of journey serve may have been faster.
      if after != nil { delivery.delivered = max(delivery.delivered, kept - delivery.left) }
    }
    show(before, after, kept: kept, delivery, isDelivering: settings.groupEvents == .owner)
  }

  private func owners(_ outcome: OwnerOutcome) throws -> (before: UUID?, after: UUID?, kept: Int) {
    switch outcome {
    case .changed(let before, let after, let kept): return (before, after, kept)
    case .same(let owner, let kept): return (owner, owner, kept)
    case .unknownClient:
      let isAddress = client?.contains("@") == true
      throw Failure(
        .refusedInput,
        "the organisation has no client \(client ?? "")"
          + (isAddress ? "; an address that no source has verified is not searched: give the client's id" : ""))
    case .ambiguous(let count):
      throw Failure(
        .refusedInput, "\(count) clients of the organisation share the address \(client ?? ""); give the id of one")
    case .unknownGroup: throw Failure(.refusedInput, IdentityGroupShow.unknown(source, group, options.org))
    case .unusable(let what, let fault): throw Failure(.refusedInput, "no event could have this \(what): \(fault)")
    }
  }

  private func show(_ before: UUID?, _ after: UUID?, kept: Int, _ delivery: GroupDelivery, isDelivering: Bool) {
    if output.json {
      let answer: JSONObject = [
        "dryRun": dryRun, "source": source, "group": group, "previousOwnerId": before, "ownerId": after, "kept": kept,
        "delivered": delivery.delivered,
      ]
      return printJSON(answer)
    }
    let name = "\(source) \(group)".plain()
    if let after {
      let instead = before.map { $0 == after ? " already" : ", and not by \($0.text)" } ?? ""
      Output.line("\(name) \(dryRun && before != after ? "would be" : "is") owned by \(after.text)\(instead)")
    } else if let before {
      Output.line("\(name) \(dryRun ? "would be" : "is") owned by \(before.text) no longer")
    } else {
      Output.line("\(name) has no owner")
    }
    if !isDelivering, kept > 0 {
      Output.line(
        "\(kept.of("event")) \(kept == 1 ? "stays" : "stay") with the group, as the setting groups.events says")
    } else if dryRun {
      if after != nil, kept > 0 { Output.line("\(kept.of("kept event")) would go to the owner") }
    } else {
      if delivery.delivered > 0 { Output.line("\(delivery.delivered.of("kept event")) went to the owner") }
      if delivery.left > 0 {
        Output.line(
          "\(delivery.left.of("kept event")) will follow: their client is locked, or the database refuses them")
      }
    }
    if dryRun { Output.line("nothing was changed") }
  }
}
