/// `actions.…`: the queues of actions.
public struct ActionOptions: Sendable {
  public let queueLimit: Int
  public let listsHuman: Bool
  /// Whether changes of clients are published.
  public let publishesChanges: Bool

  init(_ read: SettingsReader) {
    queueLimit = read.integer(
      "actions.queueLimit", 1_000_000, 1...100_000_000,
      "actions that wait in the queue of a channel at most, see docs/operations.md#limits-of-the-queues; for queues that exist already use a policy"
    )
    listsHuman = read.boolean(
      "actions.humanList", true,
      "whether actions for people are delivered by the page's list alone; false: a worker of your own reads `journey.actions.human`"
    )
    publishesChanges = read.boolean(
      "changes.publish", false,
      "whether changes of a client's stage, risk level, score or next action are published to `journey.changes`, see docs/workers.md#changes-of-clients"
    )
  }
}
