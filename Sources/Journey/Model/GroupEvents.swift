/// What happens to an event that names no client, only a group: a company, an account, a household or a mailbox.
public enum GroupEvents: String, CaseIterable, Hashable, Sendable {
  /// It goes to the group's owner, or to its only member. If there is neither, it is kept until there is.
  case owner
  /// It is kept for the group.
  case keep
  /// It is rejected.
  case reject
}
