public import AMQPClient

/// What the adapter's user may do on the broker, tried out: nothing is published, and nothing taken from a queue.
public struct BrokerPermissions: Sendable {
  private let names: MessagingNames
  private let user: String
  private let userID: String?
  private let virtualHost: String
  private let exchanges: [(name: String, routingKeys: [String])]
  private let queues: [String]

  /// - Parameters:
  ///   - archivesDeadLetters: whether the queue of dead letters is read as well.
  ///   - takesEvents: whether the API publishes events.
  public init(
    _ names: MessagingNames, of connection: AMQPConnectionSettings, archivesDeadLetters: Bool, takesEvents: Bool
  ) {
    self.names = names
    user = connection.user
    userID = connection.userID
    virtualHost = connection.virtualHost
    queues = [names.ingest] + (archivesDeadLetters ? [names.deadLetters] : [])
    // The broker may check the routing key as well, where it is set up to.
    exchanges =
      [
        (names.retry, MessagingNames.retryTiers.map(\.name) + [names.ingest]), (names.dead, ["check"]),
        (names.actions, names.channels.map { "\($0).check.low" }),
      ] + (takesEvents ? [(names.events, ["api.check"])] : [])
  }

  /// Tries everything that `serve` does.
  ///
  /// - Returns: what is not permitted or not there, a sentence each in the broker's words.
  /// - Throws: also `blocked`, where the broker takes no messages for now: then it does not tell what it would refuse.
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
          // Copies name their publisher; where the broker knows the login by another name, it would refuse them.
          try await admin.checkPublish(exchange: exchange, routingKey: routingKey, userID: userID)
        }
        if problems.count > before { break }
      }
    }
    return problems
  }

  /// The command that gives the user what it needs.
  public var advice: String {
    let pattern = pattern
    return "rabbitmqctl set_permissions -p '\(virtualHost)' '\(user)' '\(pattern)' '\(pattern)' '\(pattern)'"
  }

  /// A regular expression that all names match; as a rule `^journey\..*`.
  private var pattern: String {
    let topology = names.topology
    let all = topology.exchanges.map(\.name) + topology.queues.map(\.name)
    let families = Set(all.map { $0.prefix { $0 != "." } })
    if let family = families.first, families.count == 1, all.allSatisfy({ $0.contains(".") }) {
      return "^\(Self.escaped(family))\\..*"
    }
    return "^(\(Set(all).sorted().map { Self.escaped($0[...]) }.joined(separator: "|")))$"
  }

  private static func escaped(_ name: Substring) -> String {
    name.map { $0.isLetter || $0.isNumber || "_-".contains($0) ? "\($0)" : "\\\($0)" }.joined()
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
