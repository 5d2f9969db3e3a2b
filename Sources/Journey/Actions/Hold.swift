public import FoundationEssentials

/// Which actions an operator holds: those of a channel, of an organisation, of a kind, or of a combination.
public struct Hold: Hashable, Sendable {
  public var id: Int64
  /// nil: every channel; likewise the others. At least one is set.
  public var channel: Channel?
  public var action: ActionKind?
  public var orgID: UUID?

  public init(id: Int64, channel: Channel? = nil, action: ActionKind? = nil, orgID: UUID? = nil) {
    self.id = id
    self.channel = channel
    self.action = action
    self.orgID = orgID
  }

  /// Clients a second that are decided again after a hold.
  public static let rates = 0.1...1000.0

  public var namesSomething: Bool { channel != nil || action != nil || orgID != nil }

  /// Whether it holds an action. The routing key is `<channel>.<action>.<priority>`.
  public func matches(orgID: UUID, routingKey: String) -> Bool {
    if let own = self.orgID, own != orgID { return false }
    let parts = routingKey.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
    if let channel, parts.first.map({ $0 == channel.rawValue }) != true { return false }
    if let action, parts.count < 2 || parts[1] != action.rawValue { return false }
    return true
  }
}
