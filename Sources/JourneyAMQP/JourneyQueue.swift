/// A queue of the topology, and what its messages are.
public struct JourneyQueue: Hashable, Sendable {
  public enum Contents: Hashable, Sendable {
    case events
    /// Events that return to the queue of events after this time.
    case retries(after: Duration)
    case deadLetters
    case actions(channel: String)
    case outcomes
  }

  public var name: String
  public var contents: Contents
}

extension MessagingNames {
  /// All queues of the topology, in the order of an event's way.
  public var queues: [JourneyQueue] {
    [JourneyQueue(name: ingest, contents: .events)]
      + Self.retryTiers.map {
        JourneyQueue(name: retryQueue($0.name), contents: .retries(after: .milliseconds($0.milliseconds)))
      } + [JourneyQueue(name: deadLetters, contents: .deadLetters)]
      + channels.map { JourneyQueue(name: actionQueue($0), contents: .actions(channel: $0)) }
      + [JourneyQueue(name: outcomes, contents: .outcomes)]
  }
}
