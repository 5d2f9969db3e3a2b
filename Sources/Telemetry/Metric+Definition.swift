import Journey

extension Metric {
  public var definition: Definition {
    switch self {
    case .messagesReceived: .counter("messages", "Messages received from the ingest queue.")
    case .messagesIgnored: .counter("messages", "Messages that their mapping or a rule passes by.")
    case .messagesRejected:
      .counter("messages", "Messages rejected, by the code of the first reason; retried or dead-lettered.", by: .reason)
    case .messagesRetried:
      .counter("messages", "Messages whose copy a retry queue has taken, because they were rejected.", by: .tier)
    case .messagesPostponed:
      .counter("messages", "Messages whose copy a retry queue has taken, because they could not be committed.")
    case .messagesDeadLettered: .counter("messages", "Messages that became dead letters.")
    case .messagesInHand: .gauge("messages", "Messages received and not settled.")
    case .eventsStored: .counter("events", "Events stored for the first time.")
    case .eventsDuplicate: .counter("events", "Events that were stored already.")
    case .eventsUnlisted: .counter("events", "Events of vendors whose type no rule of the mapping names.")
    case .messagesSentInFuture:
      .counter("messages", "Messages whose sender's clock, or the broker's, is ahead of this machine's.")
    case .oldestUnprocessedEvent:
      .gauge("seconds", "Age of the oldest message in hand, by the time it was sent; 0: none; absent: not consuming.")
    case .commitEvents: .histogram("events", Self.sizes, "Events in a commit.")
    case .commitSeconds: .histogram("seconds", Self.seconds, "Time of a successful commit.")
    case .clientsEvaluatedOverTime: .counter("clients", "Clients evaluated without a new event.")
    case .clientsDue: .gauge("clients", "Clients that wait to be evaluated without a new event; at most 10,000.")
    case .oldestDueClient: .gauge("seconds", "For how long the first of them has waited; 0: none waits.")
    case .messagesPublished:
      .counter("messages", "Attempts to publish a message for workers, by what became of it.", by: .message, .outcome)
    case .confirmSeconds:
      .histogram(
        "seconds", Self.seconds, "Time from the publishing of a commit's actions until the broker has answered.")
    case .criticalTime:
      .histogram(
        "seconds", Self.longSeconds, "Time from the sending of an event until the action it led to is confirmed.")
    case .actionsUnconfirmed: .gauge("actions", "Actions that wait for the broker's confirm.")
    case .actionsUnpublished: .gauge("actions", "Actions decided and not known to be published, of all instances.")
    case .actionsFailing: .gauge("actions", "Unpublished actions whose last attempt failed, of all instances.")
    case .actionsHeld: .gauge("actions", "Actions that wait for the end of a hold, of all instances.")
    case .oldestUnpublishedAction:
      .gauge("seconds", "Time since the last attempt at the oldest action that is not known to be published; 0: none.")
    case .outcomesStored:
      .counter("outcomes", "Outcomes that workers and people reported, by kind of action.", by: .action, .result)
    case .holdsOpen: .gauge("holds", "Open holds of actions.")
    case .deadLettersOpen: .gauge("dead letters", "Open dead letters in the archive; at most 10,000.")
    case .copiesUnconfirmed: .gauge("messages", "Messages that wait for the confirm of their retry or dead letter.")
    case .brokerUp: .gauge("1 or 0", "Whether the broker reported its queues.")
    case .queueMessages: .gauge("messages", "Messages ready for delivery.", by: .queue)
    case .queueConsumers: .gauge("consumers", "Consumers of a queue.", by: .queue)
    case .blockedSeconds: .counter("seconds", "Time during which the broker took nothing that was published.")
    case .databaseUp: .gauge("1 or 0", "Whether the database reported what waits in it.")
    case .databaseConnections: .gauge("connections", "Connections to the server of the database, of all its users.")
    case .databaseConnectionsLimit: .gauge("connections", "Connections that the server admits, without reserved ones.")
    case .poolWaiting: .gauge("jobs", "Work that waits for a connection of a pool.", by: .pool)
    case .consuming: .gauge("1 or 0", "Whether the broker has confirmed the subscription to the ingest queue.")
    case .paused: .gauge("1 or 0", "Whether an operator has paused consuming.")
    case .publishing: .gauge("1 or 0", "Whether the connection for publishing is open.")
    case .partFailing: .gauge("1 or 0", "Whether the last attempt of a part failed.", by: .part)
    case .loopsStuck: .gauge("loops", "Loops of the process that do not turn.")
    case .connectionsLost:
      .counter("connections", "Connections lost, and for the broker also attempts that failed.", by: .connection)
    case .instances: .gauge("instances", "Instances of the adapter that run.")
    case .certificateExpiry:
      .gauge("seconds", "Time until the first certificate of this kind ends; negative: ended.", by: .certificate)
    case .buildInfo: .gauge("1", "The program; always 1.", by: .version, .commit)
    case .seriesDropped: .gauge("series", "Series left out of this answer, because there were more than the limit.")
    case .residentMemory: .gauge("bytes", "Resident memory.")
    case .cpuSeconds: .counter("seconds", "CPU time, of user and system.")
    case .openDescriptors: .gauge("descriptors", "Open file descriptors.")
    case .maxDescriptors: .gauge("descriptors", "File descriptors that may be open.")
    case .startTime: .gauge("seconds", "When the process started, since 1970-01-01T00:00:00Z.")
    }
  }

  private static let sizes: [Double] = [1, 5, 20, 50, 100, 250, 500, 1000, 2000, 5000]
  private static let seconds: [Double] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60]
  private static let longSeconds: [Double] = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200]
}

extension Metric.Definition {
  fileprivate static func counter(_ unit: String, _ help: String, by labels: Metric.Label...) -> Self {
    Self(kind: .counter, unit: unit, labels: labels, help: help)
  }

  fileprivate static func gauge(_ unit: String, _ help: String, by labels: Metric.Label...) -> Self {
    Self(kind: .gauge, unit: unit, labels: labels, help: help)
  }

  fileprivate static func histogram(_ unit: String, _ bounds: [Double], _ help: String) -> Self {
    Self(kind: .histogram, unit: unit, bounds: bounds, help: help)
  }
}

extension Metric.Label {
  fileprivate static let reason = Self("reason", Rejection.Code.all.map(\.rawValue))
  /// A retry queue.
  fileprivate static let tier = Self("tier", atMost: 4)
  fileprivate static let message = Self("message", ["action", "revocation", "client_change"])
  fileprivate static let outcome = Self("outcome", ["confirmed"] + PublishFailure.Cause.allCases.map(\.rawValue))
  /// `unknown`: an action of another version.
  fileprivate static let action = Self("action", ActionKind.allCases.map(\.rawValue) + ["unknown"])
  fileprivate static let result = Self("outcome", ActionOutcome.allCases.map(\.rawValue))
  /// Those for events, retries, dead letters and outcomes, and one of each channel.
  fileprivate static let queue = Self("queue", atMost: 16)
  fileprivate static let pool = Self("pool", ["commit", "api"])
  fileprivate static let part = Self("part", Health.Part.allCases.map(\.rawValue))
  fileprivate static let connection = Self("connection", ["ingest", "publish", "database"])
  fileprivate static let certificate = Self("certificate", ["broker", "database", "api_keys"])
  fileprivate static let version = Self("version", atMost: 1)
  fileprivate static let commit = Self("commit", atMost: 1)
}
