import ArgumentParser
import FoundationEssentials
import Journey
import JourneyPostgres

/// `journey feeds`
struct Feeds: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "feeds",
    abstract: "Show which sources were heard when, and forget those that nobody expects any more.",
    subcommands: [FeedsList.self, FeedsForget.self])
}

/// `journey feeds list`
struct FeedsList: Command {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "List the sources of organisations: last heard, silent for, usual gap. Frozen ones first.",
    discussion: """
      serve counts what arrives, whenever it occurred. A source that is silent far beyond its usual gap (feedOutage in decisions.yaml) freezes the \
      risks that come from silence for its organisation, until it is heard again, forgotten or given up. Only the time counts during which an \
      instance consumed.
      """,
    examples: ["journey feeds list", "journey feeds list --org ORG --json"])

  @Option(help: "Only this organisation.") var org: String?
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let orgID = try org.map { try Input.id($0, "--org", of: "an organisation") }
    let feeds = try await common.settings().withDatabase { worker in
      try await FeedRepository(worker: worker).list(orgID: orgID)
    }
    if output.json { return printJSON(feeds) }
    if feeds.isEmpty { return Output.line("no source was heard yet") }
    let now = SystemClock().now()
    Output.table(
      ["organisation", "source", "last heard", "silent for", "usual gap", "state"],
      feeds.map { feed in
        [
          feed.orgID.text, feed.source.plain(60), feed.lastHeard.local(at: now), Int(feed.silentFor).ofTime,
          feed.usualGap.map { Int($0).ofTime } ?? "not known yet",
          feed.frozenSince.map { "frozen since \($0.local(at: now))" } ?? "",
        ]
      })
  }
}

/// `journey feeds forget SOURCE`
struct FeedsForget: Command {
  static let configuration = CommandConfiguration(
    commandName: "forget",
    abstract: "Forget a source that nobody expects any more: its organisation is not frozen because of it.",
    discussion: """
      Instances notice it within a minute. If the source is heard again, it is a new one. \
      Exit status: 0 it is forgotten; 65 it was not known; 69 the database cannot be reached.
      """,
    examples: ["journey feeds forget old-crm --org ORG"])

  @Argument(help: "The source, as journey feeds list names it.") var source: String
  @Option(help: "The organisation.") var org: String
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let feed = Feed(orgID: try Input.id(org, "--org", of: "an organisation"), source: source)
    let (isForgotten, known) = try await common.settings().withDatabase { worker in
      let repository = FeedRepository(worker: worker)
      return (try await repository.forget(feed), try await repository.list(orgID: feed.orgID).map(\.source))
    }
    guard isForgotten else {
      throw Failure(
        .refusedInput, "the organisation \(feed.orgID.text) has no source \(source.plain(60))",
        advice: known.isEmpty
          ? "none of its sources was heard" : "known: \(known.map { $0.plain(60) }.joined(separator: ", "))")
    }
    if output.json {
      printJSON(["forgotten": true, "orgId": feed.orgID.text, "source": source] as JSONObject)
    } else {
      Output.line("forgotten")
    }
  }
}
