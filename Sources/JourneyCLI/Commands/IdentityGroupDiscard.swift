import ArgumentParser
import Journey
import JourneyPostgres

/// `journey identity group discard SOURCE GROUP`
struct IdentityGroupDiscard: Command {
  static let configuration = CommandConfiguration(
    commandName: "discard", abstract: "Delete events that are kept for a group, such as test data.",
    discussion: """
      Neither events void nor events remap reaches events that are kept for a group. The identity log says which were deleted. If the source \
      sends one again, it is kept again. Exit status: 0, or 65 if there is no such group.
      """,
    examples: [
      "journey identity group discard hubspot company:7 --org ORG --reason \"test data\" --dry-run",
      "journey identity group discard hubspot company:7 --type email_opened --org ORG --reason \"noise\"",
    ])

  @Argument(help: "The source, e.g. hubspot.", completion: .sources)
  var source: String
  @Argument(help: "The id of the group at the source.")
  var group: String
  @Option(help: "Only events of this type.")
  var type: String?
  @OptionGroup var reason: ReasonOption
  @Flag(help: "Show what would happen; change nothing.")
  var dryRun = false
  @OptionGroup var options: IdentityOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let (source, group, type, isRehearsal, why) = (source, group, type, dryRun, try reason.text())
    let count = try await options.performOnGroups { repository, org in
      try await repository.discard(
        of: GroupKey(orgID: org, source: source, groupID: group), type: type, why: why, isRehearsal: isRehearsal)
    }
    guard let count else { throw Failure(.refusedInput, IdentityGroupShow.unknown(source, group, options.org)) }
    if output.json {
      let answer: JSONObject = [
        "dryRun": dryRun, "source": source, "group": group, "type": type, "discarded": count,
      ]
      return printJSON(answer)
    }
    let verb = dryRun ? "would be" : count == 1 ? "was" : "were"
    Output.line("\(count.of("kept event")) \(verb) discarded")
    if dryRun { Output.line("nothing was changed") }
  }
}
