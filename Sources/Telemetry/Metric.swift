/// What the adapter measures: one closed set, which docs/metrics.md describes. No metric names a client or an
/// organisation, so the number of series does not grow with theirs.
public enum Metric: String, CaseIterable, Sendable {
  // Messages and events.
  case messagesReceived = "journey_messages_received_total"
  case messagesIgnored = "journey_messages_ignored_total"
  case messagesRejected = "journey_messages_rejected_total"
  case messagesRetried = "journey_messages_retried_total"
  case messagesPostponed = "journey_messages_postponed_total"
  case messagesDeadLettered = "journey_messages_dead_lettered_total"
  case messagesInHand = "journey_messages_in_hand"
  case eventsStored = "journey_events_stored_total"
  case eventsDuplicate = "journey_events_duplicate_total"
  case eventsUnlisted = "journey_events_unlisted_total"
  case messagesSentInFuture = "journey_messages_sent_in_future_total"
  case oldestUnprocessedEvent = "journey_oldest_unprocessed_event_seconds"
  // Commits.
  case commitEvents = "journey_commit_events"
  case commitSeconds = "journey_commit_seconds"
  case clientsEvaluatedOverTime = "journey_clients_evaluated_over_time_total"
  case clientsDue = "journey_clients_due"
  case oldestDueClient = "journey_oldest_due_client_seconds"
  // Actions.
  case messagesPublished = "journey_messages_published_total"
  case confirmSeconds = "journey_confirm_seconds"
  case criticalTime = "journey_critical_time_seconds"
  case actionsUnconfirmed = "journey_actions_unconfirmed"
  case actionsUnpublished = "journey_actions_unpublished"
  case actionsFailing = "journey_actions_failing"
  case actionsHeld = "journey_actions_held"
  case oldestUnpublishedAction = "journey_oldest_unpublished_action_seconds"
  case outcomesStored = "journey_outcomes_stored_total"
  case holdsOpen = "journey_holds_open"
  // Dead letters.
  case deadLettersOpen = "journey_dead_letters_open"
  case copiesUnconfirmed = "journey_copies_unconfirmed"
  // Queues of the broker.
  case brokerUp = "journey_broker_up"
  case queueMessages = "journey_queue_messages"
  case queueConsumers = "journey_queue_consumers"
  case blockedSeconds = "journey_broker_blocked_seconds_total"
  // The database.
  case databaseUp = "journey_database_up"
  case databaseConnections = "journey_database_connections"
  case databaseConnectionsLimit = "journey_database_connections_limit"
  case poolWaiting = "journey_database_pool_waiting"
  // The instance.
  case consuming = "journey_consuming"
  case paused = "journey_paused"
  case publishing = "journey_publishing"
  case partFailing = "journey_part_failing"
  case loopsStuck = "journey_loops_stuck"
  case connectionsLost = "journey_connections_lost_total"
  case instances = "journey_instances"
  case certificateExpiry = "journey_certificate_expiry_seconds"
  case buildInfo = "journey_build_info"
  case seriesDropped = "journey_metrics_series_dropped"
  case residentMemory = "process_resident_memory_bytes"
  case cpuSeconds = "process_cpu_seconds_total"
  case openDescriptors = "process_open_fds"
  case maxDescriptors = "process_max_fds"
  case startTime = "process_start_time_seconds"

  public var name: String { rawValue }
}

extension Metric {
  public enum Kind: String, Sendable {
    /// Only grows, from the start of the process.
    case counter
    case gauge
    case histogram
  }

  /// A dimension of a metric.
  public struct Label: Hashable, Sendable {
    public var name: String
    /// The values that there are; nil: other parts of the program choose them, at most `most`.
    public var values: [String]?
    /// How many values there may be.
    public var most: Int

    init(_ name: String, _ values: [String]) {
      self.name = name
      self.values = values
      most = values.count
    }

    init(_ name: String, atMost most: Int) {
      self.name = name
      self.most = most
    }
  }

  /// What is known of a metric before anything is measured.
  public struct Definition: Sendable {
    public var kind: Kind
    /// A plural, such as `seconds`.
    public var unit: String
    public var labels: [Label] = []
    /// The upper bounds of a histogram's buckets, ascending; the last bucket has none.
    public var bounds: [Double] = []
    /// One sentence.
    public var help: String

    /// The most series that the metric can have in one answer.
    public var maxSeries: Int {
      // A bucket for each bound and one above, the sum and the count.
      kind == .histogram ? bounds.count + 3 : labels.map(\.most).reduce(1, *)
    }
  }

  /// The most series that an instance can have.
  public static var maxSeries: Int { allCases.reduce(0) { $0 + $1.definition.maxSeries } }
}
