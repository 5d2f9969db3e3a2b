public import FoundationEssentials

/// Which broker users may report which events.
///
/// A publisher is identified by the message property `user_id`, which RabbitMQ only accepts from that user. Without
/// grants any publisher may report events of all sources for all organisations.
public struct PublisherPolicy: Hashable, Sendable {
  /// What a publisher may report.
  public struct Grant: Hashable, Sendable {
    public var sources: SourcePatterns
    /// nil: any organisation.
    public var organizations: Set<UUID>?
    /// Whether it may load history, which leads to no action.
    public var mayBackfill: Bool

    public init(sources: SourcePatterns, organizations: Set<UUID>?, mayBackfill: Bool = false) {
      self.sources = sources
      self.organizations = organizations
      self.mayBackfill = mayBackfill
    }
  }

  /// Names of event sources; a trailing `*` matches any suffix.
  public struct SourcePatterns: Hashable, Sendable {
    private let names: Set<String>
    private let prefixes: [String]

    public init(_ patterns: [String]) {
      names = Set(patterns.filter { !$0.hasSuffix("*") })
      prefixes = patterns.filter { $0.hasSuffix("*") }.map { String($0.dropLast()) }
    }

    public func contains(_ source: String) -> Bool {
      names.contains(source) || prefixes.contains { source.hasPrefix($0) }
    }
  }

  /// The source of events from the adapter's HTTP API. No other publisher may report events of it.
  public static let apiSource = "journey-api"
  /// The sources of events that the adapter itself makes.
  public static let ownSources: Set<String> = [apiSource, OutcomeReport.source, SilenceContract.source]
  /// The key of the grant for all other users, and for messages without a `user_id`.
  public static let others = "*"

  /// The adapter's own broker user; nil if unknown.
  public var ownUser: String?
  /// Other broker users that instances of the adapter publish as, or have published as.
  public var otherOwnUsers: Set<String>
  /// By broker user, or `others`; nil: no restrictions.
  public var grants: [String: Grant]?

  public init(ownUser: String? = nil, otherOwnUsers: Set<String> = [], grants: [String: Grant]? = nil) {
    self.ownUser = ownUser
    self.otherOwnUsers = otherOwnUsers
    self.grants = grants
  }

  /// Whether the adapter itself published a message.
  public func isOwn(_ userID: String?) -> Bool {
    guard let userID else { return false }
    return userID == ownUser || otherOwnUsers.contains(userID)
  }

  /// Rejects publishers without any grant.
  /// - Parameter userID: as validated by the broker; nil if the message has none.
  public func admit(_ userID: String?) throws(Rejection) {
    guard grants != nil, !isOwn(userID), grant(of: userID) == nil else { return }
    guard let userID else {
      throw Rejection(
        .forbiddenPublisher, field: "property:user_id",
        "is missing; the broker user identifies the publisher, and publishers are restricted here")
    }
    throw Rejection(
      .forbiddenPublisher, field: "property:user_id", value: userID,
      "this user of the broker may publish no events here")
  }

  /// Why a publisher may not report an event; nil if it may.
  public func refusal(of event: JourneyEvent, from userID: String?) -> Rejection? {
    if Self.ownSources.contains(event.source) {
      return Rejection(
        .forbiddenPublisher, field: "source", value: event.source,
        "only the adapter itself reports events of this source")
    }
    return refusal(ofSource: event.source, in: event.orgID, from: userID)
  }

  /// Why a publisher may not report an outcome of an action; nil if it may.
  /// - Parameter orgID: nil if the report names no organisation.
  public func refusal(ofOutcomeIn orgID: UUID?, from userID: String?) -> Rejection? {
    isOwn(userID) ? nil : refusal(ofSource: OutcomeReport.source, in: orgID, from: userID)
  }

  /// Why a publisher may not load history; nil if it may. Where publishers are restricted, it needs a grant: with the
  /// mark of history, a publisher could keep actions from clients.
  public func refusalOfBackfill(from userID: String?) -> Rejection? {
    guard grants != nil, !isOwn(userID), !(grant(of: userID)?.mayBackfill ?? false) else { return nil }
    return Rejection(
      .forbiddenPublisher, field: "header x-backfill", value: "true",
      "\(name(userID)) may not load history; publishers.USER.backfill: true grants it")
  }

  private func refusal(ofSource source: String, in orgID: UUID?, from userID: String?) -> Rejection? {
    guard grants != nil else { return nil }
    guard let grant = grant(of: userID) else {
      return Rejection(
        .forbiddenPublisher, field: "property:user_id", value: userID,
        "this user of the broker may publish no events here")
    }
    if !grant.sources.contains(source) {
      return Rejection(
        .forbiddenPublisher, field: "source", value: source,
        "\(name(userID)) may not report events of this source")
    }
    if let organizations = grant.organizations, !(orgID.map(organizations.contains) ?? false) {
      return Rejection(
        .forbiddenPublisher, field: "organization", value: orgID?.text,
        "\(name(userID)) may not report events of this organization")
    }
    return nil
  }

  private func grant(of userID: String?) -> Grant? { userID.flatMap { grants?[$0] } ?? grants?[Self.others] }

  private func name(_ userID: String?) -> String {
    userID.map { "the user \($0) of the broker" } ?? "a message without a user_id"
  }
}
