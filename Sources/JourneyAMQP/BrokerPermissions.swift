public import AMQPClient

/// Checks the permissions of the adapter's user on the broker. It publishes nothing and consumes nothing.
public struct BrokerPermissions: Sendable {
  private let names: MessagingNames
  private let user: String
  private let userID: String?
  private let virtualHost: String
  private let exchanges: [(name: String, routingKeys: [String])]
  private let queues: [String]

  /// - Parameters:
  ///   - archivesDeadLetters: whether the dead-letter queue is read as well.
  ///   - listsHuman: whether the queue of actions for people is read as well.
  ///   - takesEvents: whether the API publishes events and outcomes.
  ///   - publishesChanges: whether changes of clients are published.
  public init(
    _ names: MessagingNames, of connection: AMQPConnectionSettings, archivesDeadLetters: Bool,
    listsHuman: Bool, takesEvents: Bool, publishesChanges: Bool
  ) {
    self.names = names
    user = connection.user
    userID = connection.userID
    virtualHost = connection.virtualHost
    queues =
      [names.ingest, names.outcomes] + (archivesDeadLetters ? [names.deadLetters] : [])
      + (listsHuman ? [names.actionQueue("human")] : [])
    // Topic permissions may also restrict the routing key.
    exchanges =
      [
        (names.retry, MessagingNames.retryTiers.map(\.name) + [names.ingest]), (names.dead, ["check"]),
        (names.actions, names.channels.map { "\($0).check.low" }),
      ] + (publishesChanges ? [(names.changes, ["lead.low"])] : [])
      + (takesEvents ? [(names.events, ["api.check"]), (names.outcomes, ["person.check"])] : [])
  }

  /// Checks every permission that `serve` needs.
  ///
  /// - Returns: the missing permissions, queues and exchanges, one sentence each, with the broker's error message.
  /// - Throws: `AMQPError`, including `blocked` while the broker accepts no messages: the check is not possible then.
  public func problems(_ admin: AMQPAdmin) async throws(AMQPError) -> [String] {
    var problems: [String] = []
    for queue in queues {
      try await record(&problems, "it cannot read from the queue \(queue)") { () async throws(AMQPError) in
        try await admin.checkConsume(queue: queue)
      }
    }
    for (exchange, routingKeys) in exchanges {
      for routingKey in routingKeys {
        let before = problems.count
        try await record(&problems, "it cannot publish to the exchange \(exchange)") { () async throws(AMQPError) in
          // Copies carry a user id. If it differs from the login, the broker refuses them.
          try await admin.checkPublish(exchange: exchange, routingKey: routingKey, userID: userID)
        }
        if problems.count > before { break }
      }
    }
    return problems
  }

  /// The command that grants what `journey roles broker` grants to the service.
  public var advice: String {
    let granted = BrokerRoles(names, virtualHost: virtualHost).service
    return
      "rabbitmqctl set_permissions -p '\(virtualHost)' '\(user)' '\(granted.configure)' '\(granted.write)' '\(granted.read)'"
  }

  private func record(_ problems: inout [String], _ what: String, _ check: () async throws(AMQPError) -> Void)
    async throws(AMQPError)
  {
    do throws(AMQPError) {
      try await check()
    } catch  where error.isRefusal {
      problems.append("\(what): \(error.message)")
    }
  }
}
